"""`--report`: a page of HTML without further files, and one of Markdown with its images in `report/`."""

import base64
import html
import json

from sod_client._archives.dataset.dataset import Dataset
from sod_client._archives.report.rows import name, rows
from sod_client._archives.report.statistics import BINS, Statistics, statistics
from sod_client._archives.report.thumbnails import thumbnail

_SHEETS = (("crowded", "Most objects"), ("empty", "No objects"), ("unsure", "Lowest mean score"))
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24; }
table { border-collapse: collapse; } th, td { padding: .25rem .9rem .25rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; } th { border-bottom: 1px solid #8c959f; font-weight: 600; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figure img, .none { width: 100%; border-radius: 4px; background: #eaeef2; }
.none { padding: 3rem 0; text-align: center; } figcaption { font-size: 13px; overflow-wrap: anywhere; }
svg { display: block; } svg rect { fill: #0969da; }
"""


def write(dataset: Dataset) -> list[str]:
    """Write report.html and report.md to the dataset; returns their names.

    Raises:
        OutputError: the dataset cannot be read or written.
    """
    found = statistics(rows(dataset))
    images = {(kind, number): thumbnail(row) for kind, _ in _SHEETS for number, row in enumerate(getattr(found, kind))}
    for old in dataset.place.names("report"):
        dataset.place.remove(f"report/{old}")
    for (kind, number), content in images.items():
        if content is not None:
            dataset.place.write(f"report/{kind}-{number}.jpg", content)
    dataset.place.write("report.html", _html(found, images).encode())
    dataset.place.write("report.md", _markdown(found, images).encode())
    return ["report.html", "report.md"]


def _facts(found: Statistics) -> list[tuple[str, str]]:
    failed = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.failures.items()))
    threshold = json.loads(found.thresholds or "null")
    return [
        ("Images", f"{found.images:,}"),
        ("Images without objects", f"{found.without_objects:,}"),
        ("Failed images", failed or "0"),
        ("Objects", f"{found.classes.total():,}"),
        ("Model", found.model),
        ("Threshold", "the model's default" if threshold is None else json.dumps(threshold)),
    ]


def _classes(found: Statistics) -> list[tuple[str, int, int]]:
    """Label, objects, and images with one; the most frequent first."""
    ordered = sorted(found.classes.items(), key=lambda one: (-one[1], one[0]))
    return [(label, count, found.images_by_class[label]) for label, count in ordered]


def _html(found: Statistics, images: dict[tuple[str, int], bytes | None]) -> str:
    parts = ["<!doctype html>", '<html lang="en"><meta charset="utf-8"><title>Detected objects</title>']
    parts += [f"<style>{_STYLE}</style>", "<h1>Detected objects</h1>", "<table>"]
    parts += [f"<tr><td>{key}</td><td>{html.escape(value)}</td></tr>" for key, value in _facts(found)]
    parts += ["</table>", "<h2>Classes</h2>", "<table>"]
    parts.append("<tr><th>class</th><th>objects</th><th>images</th><th>scores from 0 to 1</th></tr>")
    for label, count, with_one in _classes(found):
        parts.append(
            f"<tr><td>{html.escape(label)}</td><td>{count:,}</td><td>{with_one:,}</td>"
            f"<td>{_histogram(found.scores[label])}</td></tr>"
        )
    parts.append("</table>")
    for kind, title in _SHEETS:
        parts += [f"<h2>{title}</h2>", '<div class="sheet">']
        for number, row in enumerate(getattr(found, kind)):
            content = images[kind, number]
            shown = '<div class="none">not available</div>'
            if content is not None:
                shown = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(content).decode()}">'
            caption = html.escape(f"{name(row)}: {_objects(row['objects'])}")
            parts.append(f"<figure>{shown}<figcaption>{caption}</figcaption></figure>")
        parts.append("</div>" if getattr(found, kind) else "</div><p>None.</p>")
    return "\n".join([*parts, "</html>", ""])


def _histogram(counts: list[int]) -> str:
    most = max(*counts, 1)
    bars = "".join(
        f'<rect x="{10 * position}" y="{40 - 40 * count / most:.1f}" width="9" height="{40 * count / most:.1f}">'
        f"<title>{position / BINS:.2f} to {(position + 1) / BINS:.2f}: {count:,}</title></rect>"
        for position, count in enumerate(counts)
    )
    return f'<svg width="{10 * BINS}" height="40" role="img" aria-label="histogram of scores">{bars}</svg>'


def _markdown(found: Statistics, images: dict[tuple[str, int], bytes | None]) -> str:
    lines = ["# Detected objects", "", "| | |", "| --- | --- |"]
    lines += [f"| {key} | {_escaped(value)} |" for key, value in _facts(found)]
    lines += ["", "## Classes", "", "| class | objects | images | scores from 0 to 1, in twentieths |"]
    lines.append("| --- | --: | --: | --- |")
    for label, count, with_one in _classes(found):
        lines.append(f"| {_escaped(label)} | {count:,} | {with_one:,} | {' '.join(map(str, found.scores[label]))} |")
    for kind, title in _SHEETS:
        lines += ["", f"## {title}", ""]
        for number, row in enumerate(getattr(found, kind)):
            link = "" if images[kind, number] is None else f"![](report/{kind}-{number}.jpg) "
            lines.append(f"- {link}{_escaped(name(row))}: {_objects(row['objects'])}")
        if not getattr(found, kind):
            lines.append("None.")
    return "\n".join([*lines, ""])


def _objects(objects: list[dict[str, float]]) -> str:
    if not objects:
        return "no objects"
    mean = sum(one["score"] for one in objects) / len(objects)
    return f"{len(objects):,} object{'' if len(objects) == 1 else 's'}, mean score {mean:.2f}"


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>()#|!" else one for one in text.replace("\n", " "))

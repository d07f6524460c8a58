"""The report of a day with a GPU: Markdown, and a plot beside what PaddleX publishes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.performance.report.published import MACHINES, PUBLISHED
from benchmarks.targets import Target, table, verdicts

_SHARE = 0.1  # of the published milliseconds
_BUSY = 0.8
_COLOURS = ("#0072B2", "#56B4E9", "#D55E00")  # of Okabe and Ito, for people with colour vision deficiency


def targets(results: dict[str, Any]) -> list[Target]:
    """End to end at most a tenth of PaddleX's published milliseconds, and the GPU busy for at least 80 %."""
    return list(_targets(results.get("gateway", {}).get("result", {})))


def _targets(gateway: dict[str, Any]) -> Iterator[Target]:
    for title, one in gateway.items():
        model, _, precision = title.partition(", ")
        if "plain" not in one or model not in PUBLISHED or precision != "FP16":
            continue
        published = PUBLISHED[model].gpu_regular
        yield Target(f"{title}: end to end / PaddleX on a T4", one["plain"]["ms"] / published, _SHARE, unit=" x")
        if busy := one["plain"]["gpu"].get("busy"):
            yield Target(f"{title}: GPU busy at {one['plain']['clients']} clients", busy, _BUSY, at_least=True)


def markdown(results: dict[str, Any], *, pretend: bool) -> str:
    """The report.

    Args:
        results: of `run.run`.
        pretend: whether the CPU provider ran in place of CUDA: then there are no verdicts.
    """
    parts = ["# A day with a GPU\n"]
    if pretend:
        parts.append("**Pretended**: ONNX Runtime's CPU provider ran in place of CUDA. No figure is that of a GPU.\n")
    else:
        parts.append(verdicts(targets(results)))
    titles = {
        "machine": "What is there",
        "detector": "The detector alone in ONNX Runtime",
        "tensorrt": "TensorRT FP16, by trtexec",
        "gateway": "Triton and the gateway",
        "slices": "4K frames in slices of 640 pixels",
    }
    make = {
        "machine": _machine,
        "detector": _detector,
        "tensorrt": _tensorrt,
        "gateway": _gateway,
        "slices": _slices,
    }
    for name, one in results.items():
        parts.append(f"## {titles[name]}\n")
        if "problem" in one:
            parts.append(f"**Not complete after {one['seconds']:.0f} s:** {one['problem']}.\n")
        if figures := one.get("result"):
            parts.append(make[name](figures))
    return "\n".join(part for part in parts if part)


def draw(results: dict[str, Any], file: Path, *, pretend: bool) -> bool:
    """Bars of milliseconds end to end and of the detector alone, beside PaddleX's on a T4; False without figures."""
    from matplotlib.figure import Figure  # noqa: PLC0415 — it takes a second

    gateway = results.get("gateway", {}).get("result", {})
    detector = results.get("detector", {}).get("result", {})
    titles = [title for title, one in gateway.items() if "plain" in one]
    if not titles:
        return False
    figure = Figure(figsize=(9.0, 1.2 + 0.9 * len(titles)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    bars = (
        ("end to end", [gateway[title]["plain"]["ms"] for title in titles]),
        ("detector alone", [detector.get(title, {}).get("1", {}).get("ms", 0.0) for title in titles]),
        ("PaddleX on a T4, published", [_published(title) for title in titles]),
    )
    height = 0.8 / len(bars)
    for number, ((label, values), colour) in enumerate(zip(bars, _COLOURS, strict=True)):
        places = [row + number * height for row in range(len(titles))]
        drawn = axes.barh(places, values, height, label=label, color=colour)
        axes.bar_label(drawn, [f"{value:.1f}" if value else "" for value in values], padding=3, fontsize=8)
    axes.set_yticks([row + height for row in range(len(titles))], titles)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds of one image")
    if pretend:
        axes.set_title("Pretended: a CPU ran in place of the GPU", loc="left", fontsize=10)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    figure.savefig(file)
    return True


def _published(title: str) -> float:
    one = PUBLISHED.get(title.partition(", ")[0])
    return one.gpu_regular if one else 0.0


def _machine(figures: dict[str, Any]) -> str:
    described = figures["machine"]
    lines = [f"- {described['cpu']}, {described['cores']} cores, {described['memory_gib']} GiB; {described['system']}"]
    lines += [f"- GPU: {line}" for line in figures["gpus"]]
    lines += [f"- {name} {version}" for name, version in figures["packages"].items()]
    lines += [f"- ONNX Runtime's providers: {', '.join(figures['providers']) or 'none'}"]
    lines += [f"- Missing: {sentence}" for sentence in figures["missing"]]
    return "\n".join(lines) + "\n"


def _detector(figures: dict[str, Any]) -> str:
    rows = [
        [title, batch, f"{row['ms']:.2f}", f"{row['images_a_second']:.1f}"]
        for title, one in figures.items()
        if "missing" not in one
        for batch, row in one.items()
    ]
    return _with_missing(table(("model", "batch", "ms", "images/s"), rows), figures)


def _tensorrt(figures: dict[str, Any]) -> str:
    rows = [
        [model, f"{one['ms']:.2f}", f"{one['images_a_second']:.1f}"]
        for model, one in figures.items()
        if "missing" not in one
    ]
    return _with_missing(table(("model", "ms on the GPU", "images/s"), rows), figures)


def _gateway(figures: dict[str, Any]) -> str:
    rows = []
    for title, one in figures.items():
        if "missing" in one:
            continue
        published = _published(title)
        for name, row in one.items():
            busy = row["gpu"].get("busy")
            rows.append(
                [
                    title,
                    {"plain": "no", "overlay": "yes"}[name],
                    f"{row['ms']:.1f}",
                    f"{published:.1f}" if published else "",
                    f"{row['images_a_second']:.1f}",
                    "" if busy is None else f"{busy:.0%}",
                ]
            )
    head = ("model", "overlay", "ms, one client", "PaddleX on a T4, ms", "images/s, 16 clients", "GPU busy")
    note = f"\nPaddleX publishes its regular mode for: {MACHINES}.\n"
    return _with_missing(table(head, rows), figures) + note


def _slices(figures: dict[str, Any]) -> str:
    rows = [
        [model, str(one["slices"]), f"{one['ms']:.0f}", f"{one['frames_a_second']:.2f}"]
        for model, one in figures.items()
        if "missing" not in one
    ]
    return _with_missing(table(("model", "slices", "ms a frame", "frames/s"), rows), figures)


def _with_missing(text: str, figures: dict[str, Any]) -> str:
    missing = [f"- {title}: {one['missing']}" for title, one in figures.items() if "missing" in one]
    return text + ("\n" + "\n".join(missing) + "\n" if missing else "")

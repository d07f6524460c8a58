"""The results for people: Markdown."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.performance import machine
from benchmarks.performance.baselines.published import MACHINES, PUBLISHED
from benchmarks.performance.options import LATENCY, LOADED
from benchmarks.performance.report.figures import (
    NAN,
    column,
    cpu_outside_detector,
    median,
    middle,
    ratio,
    rounds,
    spread,
)
from benchmarks.performance.report.targets import ENSEMBLE, Target, targets

# From this share of the processors that others took on, figures say little.
_NOISY = 0.05
_NUMBER = re.compile(r"[-+≥≤ ]*[\d,.]+ ?(x|ms|MiB|%)?")


def markdown(document: dict[str, Any]) -> str:
    """The whole report."""
    options = document["options"]
    parts = [
        "# sod bench\n",
        f"{document['started']}: `{document['command']}`\n",
        machine.summary(document["machine"]) + "\n",
        f"{options['rounds']} rounds in turns, {options['seconds']:g} s each; medians over the rounds, ratios within "
        f"a round. Threshold {options['threshold']:g}. Images: {_images(document['images'])}.\n",
    ]
    if options["quick"]:
        parts.append("**A quick run: one short round says little.**\n")
    if noisy := _noise(document["models"].values()):
        parts.append(noisy)
    parts.append(_overview(document["models"]))
    for model, results in document["models"].items():
        parts.append(f"## {model}\n")
        parts += _model({**results, "model": model})
    return "\n".join(parts)


def _model(results: dict[str, Any]) -> Iterator[str]:
    yield _targets(results)
    if load := results.get("load"):
        yield _load(load)
    if accuracy := results.get("accuracy"):
        yield _accuracy(accuracy, results.get("load"))
    if stages := results.get("stages"):
        yield _stages(stages)
    if requests := results.get("requests"):
        yield _requests(requests, results.get("load"))
    if grid := results.get("perf_analyzer"):
        yield _perf_analyzer(grid, results.get("load"))
    if soak := results.get("soak"):
        yield (
            f"### Memory under load\n\n{soak['profile']}, {soak['minutes']:g} minutes, {LOADED} clients with overlay: "
            f"{soak['requests']:,} requests, {soak['errors']} errors. Resident memory of all processes, medians after "
            f"the first fifth: {_n(soak['early_mib'], 0)} MiB in the earlier half, {_n(soak['later_mib'], 0)} MiB in "
            "the later one.\n"
        )
    for plot in results.get("plots", ()):
        yield f"![{plot}]({plot})\n"


def _images(images: Iterable[dict[str, Any]]) -> str:
    return ", ".join(f"{one['name']} ({one['width']}x{one['height']}, {one['bytes']:,} bytes)" for one in images)


def _noise(models: Iterable[dict[str, Any]]) -> str:
    others = [share for results in models for share in (results.get("load") or {}).get("others", ())]
    if not others or median(others) < _NOISY:
        return ""
    return (
        f"**Other programs took {median(others):.0%} of the processors (median over the turns, at most "
        f"{max(others):.0%}): measure again on a quiet machine.**\n"
    )


def _overview(models: dict[str, Any]) -> str:
    """In the form of PaddleX's table: milliseconds of one request at a time, beside what Baidu publishes."""
    names = ("gpu_regular", "gpu_high_performance", "cpu_regular", "cpu_high_performance")
    rows = []
    for model, results in models.items():
        profiles = (results.get("load") or {"profiles": {}})["profiles"]
        here = [middle(profiles.get(name, {}).get("clients", {}), ENSEMBLE, LATENCY, "p50") for name in names]
        rows.append([f"{model}, here", *_slashed(here)])
        if model in PUBLISHED:
            published = [float(getattr(PUBLISHED[model], name)) for name in names]
            rows.append([f"{model}, published", *_slashed(published)])
    head = ("model", "GPU, ms: regular / high-performance", "CPU, ms: regular / high-performance")
    return (
        "## One image at a time\n\n" + _table(head, rows) + f"\nHere: the ensemble over gRPC, from the encoded "
        f"image to its objects, p50 with one client. Published: PaddleX's documentation ({MACHINES}, FP32).\n"
    )


def _slashed(values: Sequence[float]) -> list[str]:
    return [f"{_n(values[0])} / {_n(values[1])}", f"{_n(values[2])} / {_n(values[3])}"]


def _targets(results: dict[str, Any]) -> str:
    rows = [
        [
            f"{one.number}. {one.what}",
            _value(one.value, one.unit),
            f"{'≥' if one.at_least else '≤'} {_value(one.limit, one.unit)}",
            _verdict(one),
        ]
        for one in targets(results)
    ]
    return "### Targets\n\n" + _table(("target", "measured", "wanted", ""), rows)


def _verdict(target: Target) -> str:
    return {True: "met", False: "**not met**", None: "not measured"}[target.passed]


def _value(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    digits = 0 if not unit else 1 if unit.strip() in ("ms", "MiB") else 2
    return f"{value:,.{digits}f}{unit}"


def _load(load: dict[str, Any]) -> str:
    parts = ["### Load\n"]
    head = ["client", "concurrency", "images/s", "spread", "of engine", "p50 ms", "p95 ms", "p99 ms", "errors"]
    head += ["CPU ms outside detector", "RSS MiB"]
    for profile, of_profile in load["profiles"].items():
        engine_only = of_profile["engine_only"]
        parts.append(
            f"#### {profile}: {of_profile['backend']}, {of_profile['precision']}\n\n"
            f"Engine alone, as this profile is configured: {_n(median(_flat(engine_only['throughput'])), 2)} images/s; "
            f"with OpenVINO's hint THROUGHPUT: {_n(median(engine_only['best_throughput']), 2)}; "
            f"one image on all cores: {_n(median(engine_only['latency_ms']))} ms; "
            f"its memory: {_n(engine_only['memory_mib'], 0)} MiB.\n\n"
            + _table(head, _client_rows(of_profile["clients"], of_profile))
        )
    if load["paddlex"]:
        parts.append(
            "#### PaddleX, basic serving of the same model\n\n"
            "Shares are of cpu_regular's engine alone, which is the same engine; processor time is all of it.\n\n"
            + _table(head, _client_rows(load["paddlex"]["clients"], load["profiles"].get("cpu_regular")))
        )
    return "\n".join(parts)


def _flat(by_lap: dict[str, list[float]]) -> list[float]:
    return [value for values in by_lap.values() for value in values]


def _client_rows(clients: dict[str, Any], of_profile: dict[str, Any] | None) -> list[list[str]]:
    rows = []
    for client in sorted(clients, key=lambda name: (len(name), name)):
        for concurrency in sorted(map(int, clients[client])):
            turns = rounds(clients, client, concurrency)
            throughput = column(turns, "throughput")
            engine_only = of_profile["engine_only"]["throughput"].get(str(concurrency), []) if of_profile else []
            rows.append(
                [
                    client,
                    str(concurrency),
                    _n(median(throughput), 2),
                    _percent(spread(throughput)),
                    _percent(ratio(throughput, engine_only)),
                    *(_n(middle(clients, client, concurrency, name)) for name in ("p50", "p95", "p99")),
                    str(sum(turn["errors"] for turn in turns)),
                    _n(cpu_outside_detector(clients, client, concurrency)),
                    _n(median([sum(turn["rss_mib"].values()) for turn in turns]), 0),
                ]
            )
    return rows


def _accuracy(accuracy: dict[str, Any], load: dict[str, Any] | None) -> str:
    """Speed beside what it costs."""
    reference = accuracy["reference"]
    profiles = accuracy["profiles"]
    rows = []
    for profile, one in profiles.items():
        speed = NAN
        if load and reference:
            own, theirs = (
                column(rounds(load["profiles"][name]["clients"], ENSEMBLE, LOADED), "throughput")
                for name in (profile, reference)
            )
            speed = ratio(own, theirs)
        difference = 100 * (one["ap"] - profiles[reference]["ap"]) if reference and "ap" in one else NAN
        rows.append(
            [
                profile,
                one["precision"],
                f"{_n(speed, 2)} x" if not math.isnan(speed) else "-",
                _percent(NAN if one["matched"] is None else one["matched"], 1),
                f"{one['limit']:.0%} {'passed' if one['passed'] else '**failed**'}",
                _n(100 * one.get("ap", NAN), 2),
                "-" if math.isnan(difference) else f"{difference:+.2f}",
            ]
        )
    head = ("profile", "precision", f"ensemble at {LOADED}, speed", "objects matched", "gate", "AP", "AP difference")
    labels = f" AP on {accuracy['labels']}, in per cent." if accuracy["labels"] else " AP: no labelled images given."
    return (
        "### What each precision costs\n\n"
        + _table(head, rows)
        + f"\nAgainst {reference or 'nothing: no profile of this run is FP32'}; {accuracy['objects']} objects in "
        f"{accuracy['images']} images (class, IoU 0.5, on either side; boxes thinner than a pixel not counted)."
        f"{labels}\n"
    )


def _stages(stages: dict[str, Any]) -> str:
    rows = []
    for profile, by_clients in stages["profiles"].items():
        for concurrency, by_stage in by_clients.items():
            cells = [f"{'detector' if name.endswith('_detector') else name} {ms:.1f}" for name, ms in by_stage.items()]
            rows.append([profile, concurrency, "; ".join(cells)])
    hard = [
        [side, f"{one['candidates']:,}", _n(one["preprocess_ms"]), _n(one["postprocess_ms"])]
        for side, one in stages["synthetic"].items()
    ]
    return (
        "### Stages\n\n"
        + _table(("profile", "clients", "ms, median, by Triton's traces"), rows)
        + "\nPre- and postprocess by themselves, one thread: the first image to pixels, and a made crowd to "
        "objects.\n\n" + _table(("detector's side", "candidates", "preprocess ms", "postprocess ms"), hard)
    )


def _requests(requests: dict[str, Any], load: dict[str, Any] | None) -> str:
    rows = []
    limit = median(_flat(load["profiles"][requests["profile"]]["engine_only"]["throughput"])) if load else NAN
    for one in requests["turns"]:
        image = one["image"]
        turns = one["rounds"]
        clients = {"it": {"0": turns}}
        rows.append(
            [
                f"{image['width']}x{image['height']}, {image['bytes'] / 1e3:,.0f} kB",
                one["form"],
                "yes" if one["visualize"] else "no",
                _n(middle(clients, "it", 0, "throughput"), 2),
                _percent(middle(clients, "it", 0, "throughput") / limit),
                *(_n(middle(clients, "it", 0, name)) for name in ("p50", "p95", "p99")),
                str(sum(turn["errors"] for turn in turns)),
                _n(median([turn["cpu_ms"].get("gateway", NAN) for turn in turns])),
                _n(median([turn["rss_mib"].get("gateway", NAN) for turn in turns]), 0),
            ]
        )
    head = ["image", "form", "overlay", "images/s", "of engine", "p50 ms", "p95 ms", "p99 ms", "errors"]
    head += ["gateway, CPU ms", "gateway, RSS MiB"]
    return f"### Requests, {requests['profile']}, {LOADED} clients\n\n" + _table(head, rows)


def _perf_analyzer(grid: dict[str, Any], load: dict[str, Any] | None) -> str:
    title = "### perf_analyzer\n\n"
    if grid["missing"]:
        return f"{title}Not run: {grid['missing']}\n"
    rows = []
    for profile, by_what in grid["profiles"].items():
        limit = median(_flat(load["profiles"][profile]["engine_only"]["throughput"])) if load else NAN
        for what, by_clients in by_what.items():
            for concurrency in sorted(map(int, by_clients)):
                turns = by_clients[str(concurrency)]
                throughput = median([turn["throughput"] for turn in turns])
                names = ("p50", "p95", "p99", "queue", "compute_input", "compute_infer", "compute_output")
                cells = [_n(median([turn.get(name, NAN) for turn in turns])) for name in names]
                rows.append([profile, what, str(concurrency), _n(throughput, 2), _percent(throughput / limit), *cells])
    head = ["profile", "what", "clients", "images/s", "of engine", "p50 ms", "p95 ms", "p99 ms"]
    head += ["queue", "input", "infer", "output"]
    return (
        title
        + _table(head, rows)
        + "\nThe last four are Triton's own split in ms. Models that hand a request to a thread (pre- and postprocess, "
        "OpenVINO) end `infer` when the work begins: see Stages.\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; columns of numbers stand to the right."""
    aligned = [
        "---:" if index and rows and all(_is_number(row[index]) for row in rows) else "---"
        for index in range(len(head))
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, aligned, *rows)) + "\n"


def _is_number(cell: str) -> bool:
    return cell == "-" or _NUMBER.fullmatch(cell) is not None


def _n(value: float, digits: int = 1) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _percent(value: float, digits: int = 0) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}%}"

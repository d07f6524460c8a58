"""The report of a run in Markdown."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.performance.options import LATENCY_CLIENTS, LOAD_CLIENTS
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
from benchmarks.performance.report.published import MACHINES, PUBLISHED
from benchmarks.performance.report.targets import ENSEMBLE, Target, targets
from benchmarks.performance.report.verdict import BUSY, others, reasons_for_no_verdict

_NUMBER = re.compile(r"[-+≥≤ ]*[\d,.]+ ?(x|ms|MiB|%)?")


def markdown(document: dict[str, Any]) -> str:
    """The report.

    Args:
        document: the content of results.json.
    """
    options = document["options"]
    parts = [
        "# sod bench\n",
        f"{document['started']}: `{document['command']}`\n",
        _machine(document["machine"]) + "\n",
        f"{options['rounds']} rounds, {options['seconds']:g} s for each measurement. Figures are medians over the "
        "rounds; ratios are taken within a round. "
        f"Threshold {options['threshold']:g}. Images: {_images(document['images'])}.\n",
    ]
    if options["quick"]:
        parts.append("**This was a quick run: one short round, whose figures are inaccurate.**\n")
    no_verdict = reasons_for_no_verdict(document)
    if no_verdict:
        parts.append(f"**No verdict: {'; '.join(no_verdict)}. Measure again on an idle machine.**\n")
    elif noisy := _noise(document["models"].values()):
        parts.append(noisy)
    parts.append(_overview(document["models"]))
    for model, results in document["models"].items():
        parts.append(f"## {model}\n")
        parts += _model({**results, "model": model}, judge=not no_verdict)
    return "\n".join(parts)


def _model(results: dict[str, Any], *, judge: bool) -> Iterator[str]:
    yield _targets(results, judge=judge)
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
            f"### Memory under load\n\n{soak['profile']}, {soak['minutes']:g} minutes, {LOAD_CLIENTS} clients with "
            f"overlay: {soak['requests']:,} requests, {soak['errors']} errors. Resident memory of all processes, "
            f"medians after the first fifth: {_fixed(soak['early_mib'], 0)} MiB in the earlier half, "
            f"{_fixed(soak['later_mib'], 0)} MiB in the later one.\n"
        )
    for plot in results.get("plots", ()):
        yield f"![{plot}]({plot})\n"


def _machine(machine: dict[str, Any]) -> str:
    """The machine in one sentence."""
    gpu = machine["gpu"] or "no GPU"
    virtual = ", a virtual machine" if machine["virtual"] else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['cpu_flags'])}){virtual}, "
        f"{machine['memory_gib']:g} GiB, {gpu}; {machine['system']}, Python {machine['python']}, "
        f"{', '.join(f'{name} {version}' for name, version in machine['packages'].items())}; "
        f"commit {machine['commit'] or 'unknown'}; load average at the start {machine['load_average'][0]:g}."
    )


def _images(images: Iterable[dict[str, Any]]) -> str:
    return ", ".join(f"{one['name']} ({one['width']}x{one['height']}, {one['bytes']:,} bytes)" for one in images)


def _noise(models: Iterable[dict[str, Any]]) -> str:
    shares = [share for results in models for share in others(results)]
    if not shares or median(shares) < BUSY:
        return ""
    return (
        f"**Other programs took {median(shares):.0%} of the processors (median over the measurements, at "
        f"most {max(shares):.0%}): measure again on an idle machine.**\n"
    )


def _overview(models: dict[str, Any]) -> str:
    """Latency with one client beside the published one, in the layout of PaddleX's table."""
    names = ("gpu_regular", "gpu_high_performance", "cpu_regular", "cpu_high_performance")
    rows = []
    for model, results in models.items():
        profiles = (results.get("load") or {"profiles": {}})["profiles"]
        here = [middle(profiles.get(name, {}).get("clients", {}), ENSEMBLE, LATENCY_CLIENTS, "p50") for name in names]
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
    return [f"{_fixed(values[0])} / {_fixed(values[1])}", f"{_fixed(values[2])} / {_fixed(values[3])}"]


def _targets(results: dict[str, Any], *, judge: bool) -> str:
    rows = [
        [
            f"{one.number}. {one.what}",
            _value(one.value, one.unit),
            f"{'≥' if one.at_least else '≤'} {_value(one.limit, one.unit)}",
            _verdict(one) if judge else "no verdict",
        ]
        for one in targets(results)
    ]
    return "### Targets\n\n" + _table(("target", "measured", "required", ""), rows)


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
            f"The engine alone, configured as in this profile: "
            f"{_fixed(median(_flat(engine_only['throughput'])), 2)} images/s; "
            f"with OpenVINO's hint THROUGHPUT: {_fixed(median(engine_only['best_throughput']), 2)}; "
            f"one image on all cores: {_fixed(median(engine_only['latency_ms']))} ms; "
            f"memory: {_fixed(engine_only['memory_mib'], 0)} MiB.\n\n"
            + _table(head, _client_rows(of_profile["clients"], of_profile))
        )
    if load["paddlex"]:
        parts.append(
            "#### PaddleX, basic serving of the same model\n\n"
            "The shares refer to cpu_regular's engine alone, which is the same engine. The processor time includes the "
            "detector.\n\n"
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
                    _fixed(median(throughput), 2),
                    _percent(spread(throughput)),
                    _percent(ratio(throughput, engine_only)),
                    *(_fixed(middle(clients, client, concurrency, name)) for name in ("p50", "p95", "p99")),
                    str(sum(turn["errors"] for turn in turns)),
                    _fixed(cpu_outside_detector(clients, client, concurrency)),
                    _fixed(median([sum(turn["rss_mib"].values()) for turn in turns]), 0),
                ]
            )
    return rows


def _accuracy(accuracy: dict[str, Any], load: dict[str, Any] | None) -> str:
    """The speed of each precision beside its accuracy."""
    reference = accuracy["reference"]
    profiles = accuracy["profiles"]
    rows = []
    for profile, one in profiles.items():
        speed = NAN
        if load and reference:
            own, theirs = (
                column(rounds(load["profiles"][name]["clients"], ENSEMBLE, LOAD_CLIENTS), "throughput")
                for name in (profile, reference)
            )
            speed = ratio(own, theirs)
        difference = 100 * (one["ap"] - profiles[reference]["ap"]) if reference and "ap" in one else NAN
        rows.append(
            [
                profile,
                one["precision"],
                f"{_fixed(speed, 2)} x" if not math.isnan(speed) else "-",
                _percent(NAN if one["matched"] is None else one["matched"], 1),
                f"{one['limit']:.0%} {'passed' if one['passed'] else '**failed**'}",
                _fixed(100 * one.get("ap", NAN), 2),
                "-" if math.isnan(difference) else f"{difference:+.2f}",
            ]
        )
    head = (
        "profile",
        "precision",
        f"ensemble at {LOAD_CLIENTS}, speed",
        "objects matched",
        "accuracy check",
        "AP",
        "AP difference",
    )
    labels = (
        f" AP on {accuracy['labels']}, in per cent."
        if accuracy["labels"]
        else " AP was not measured, because no labelled images were given."
    )
    return (
        "### What each precision costs\n\n"
        + _table(head, rows)
        + f"\nCompared with {reference or 'nothing, because no profile of this run is FP32'}: "
        f"{accuracy['objects']} objects in {accuracy['images']} images, "
        "matched by class and IoU 0.5; boxes thinner than a pixel are not counted."
        f"{labels}\n"
    )


def _stages(stages: dict[str, Any]) -> str:
    rows = []
    for profile, by_clients in stages["profiles"].items():
        for concurrency, by_stage in by_clients.items():
            cells = [f"{'detector' if name.endswith('_detector') else name} {ms:.1f}" for name, ms in by_stage.items()]
            rows.append([profile, concurrency, "; ".join(cells)])
    synthetic = [
        [side, f"{one['candidates']:,}", _fixed(one["preprocess_ms"]), _fixed(one["postprocess_ms"])]
        for side, one in stages["synthetic"].items()
    ]
    return (
        "### Stages\n\n"
        + _table(("profile", "clients", "ms, median, by Triton's traces"), rows)
        + "\nPre- and postprocessing alone, on one thread: the first image to pixels, and a synthetic output with "
        "many candidates to objects.\n\n"
        + _table(("detector's side", "candidates", "preprocess ms", "postprocess ms"), synthetic)
    )


def _requests(requests: dict[str, Any], load: dict[str, Any] | None) -> str:
    rows = []
    limit = median(_flat(load["profiles"][requests["profile"]]["engine_only"]["throughput"])) if load else NAN
    for one in requests["turns"]:
        image = one["image"]
        turns = one["rounds"]
        throughput = median(column(turns, "throughput"))
        rows.append(
            [
                f"{image['width']}x{image['height']}, {image['bytes'] / 1e3:,.0f} kB",
                one["form"],
                "yes" if one["visualize"] else "no",
                _fixed(throughput, 2),
                _percent(throughput / limit),
                *(_fixed(median(column(turns, name))) for name in ("p50", "p95", "p99")),
                str(sum(turn["errors"] for turn in turns)),
                _fixed(median([turn["cpu_ms"].get("gateway", NAN) for turn in turns])),
                _fixed(median([turn["rss_mib"].get("gateway", NAN) for turn in turns]), 0),
            ]
        )
    head = ["image", "body", "overlay", "images/s", "of engine", "p50 ms", "p95 ms", "p99 ms", "errors"]
    head += ["gateway, CPU ms", "gateway, RSS MiB"]
    return f"### Requests, {requests['profile']}, {LOAD_CLIENTS} clients\n\n" + _table(head, rows)


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
                cells = [_fixed(median([turn.get(name, NAN) for turn in turns])) for name in names]
                rows.append(
                    [profile, what, str(concurrency), _fixed(throughput, 2), _percent(throughput / limit), *cells]
                )
    head = ["profile", "what", "clients", "images/s", "of engine", "p50 ms", "p95 ms", "p99 ms"]
    head += ["queue", "input", "infer", "output"]
    return (
        title
        + _table(head, rows)
        + "\nThe last four columns are Triton's own statistics in ms. Models that hand a request to a thread (pre- and "
        "postprocessing, OpenVINO) end `infer` when the work begins; the section Stages has the true times.\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, in which columns of numbers are aligned to the right."""
    aligned = [
        "---:" if index and rows and all(_is_number(row[index]) for row in rows) else "---"
        for index in range(len(head))
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, aligned, *rows)) + "\n"


def _is_number(cell: str) -> bool:
    return cell == "-" or _NUMBER.fullmatch(cell) is not None


def _fixed(value: float, digits: int = 1) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _percent(value: float, digits: int = 0) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}%}"

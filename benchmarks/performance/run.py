"""Run all sections for all models. Results are written after each section, so that an interrupted run can resume."""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.performance import machine
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.estimate import estimate
from benchmarks.performance.loadgen.closed_loop import RequestError
from benchmarks.performance.options import Options
from benchmarks.performance.other_programs import sample
from benchmarks.performance.participants import Participants, read_images, started_participants
from benchmarks.performance.report import plots
from benchmarks.performance.report.markdown import markdown
from benchmarks.performance.sections import accuracy as accuracy_section
from benchmarks.performance.sections import load as load_section
from benchmarks.performance.sections import perf_analyzer as perf_analyzer_section
from benchmarks.performance.sections import requests as requests_section
from benchmarks.performance.sections import soak as soak_section
from benchmarks.performance.sections import stages as stages_section
from server.errors import ServerError
from server.installation import find_installation
from server.repository import find_ensembles

_Section = Callable[[Participants, Options], Any]
_SECTIONS: dict[str, _Section] = {
    "load": load_section.measure,
    "requests": requests_section.measure,
    "stages": stages_section.measure,
    "perf_analyzer": perf_analyzer_section.measure,
    "accuracy": accuracy_section.measure,
    "soak": soak_section.measure,
}
_DEMO = "PP-YOLOE_plus_SOD-demo"  # which every checkout can serve
# Options that must be the same for a run to be resumed.
_SAME_OPTIONS = ("repository", "profiles", "images", "threshold")


def run(options: Options, *, resume: bool, command: str) -> None:
    """Measure, write the results to `options.out`, and print the report.

    Args:
        options: what to measure.
        resume: whether to keep what an interrupted run has measured.
        command: the command line, for the report.

    Raises:
        BenchmarkError: something cannot be read, started or measured, or its results are wrong.
    """
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(f"{options.out} cannot be written: {error.strerror}") from None
    began = time.monotonic()
    images = read_images(options.images)
    document: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": machine.describe(),
        "options": options.as_dict(),
        "other_programs": sample(),
        "images": [image.as_dict() for image in images],
        "models": {},
    }
    if resume:
        document["models"] = _earlier(options.out / "results.json", document)
    models = _models(options)
    if options.quick:
        print(estimate(options, models), file=sys.stderr, flush=True)
    for model in models:
        results = document["models"].setdefault(model, {})
        missing = [name for name in options.sections if results.get(name, {"missing": True}).get("missing")]
        if not missing:
            continue
        with started_participants(options, model, images) as participants:
            for name in missing:
                print(f"{model}: {name}", file=sys.stderr, flush=True)
                try:
                    results[name] = _SECTIONS[name](participants, options)
                except RequestError as error:
                    raise BenchmarkError(str(error)) from None
                _save(document, options.out)
    print(markdown(document))
    print(f"report and results, after {time.monotonic() - began:.0f} s: {options.out}", file=sys.stderr)


def _models(options: Options) -> tuple[str, ...]:
    """The models to measure: those asked for, else all that can be served; of these a quick run takes only one."""
    if options.models:
        return options.models
    served = _served(options)
    if options.quick:
        return (_DEMO,) if _DEMO in served else (served[0],)
    return tuple(served)


def _served(options: Options) -> list[str]:
    """The ensembles that can be served in at least one of the profiles.

    Raises:
        BenchmarkError: there is none.
    """
    try:
        backends = find_installation().backends
        found = {
            ensemble.name
            for profile in options.profiles
            for ensemble in find_ensembles(options.repository, profile, backends)
            if not ensemble.missing
        }
    except ServerError as error:
        raise BenchmarkError(str(error)) from None
    if not found:
        raise BenchmarkError(
            f"no model of {options.repository} can be served in {', '.join(options.profiles)}: make export"
        )
    return sorted(found)


def _earlier(path: Path, now: dict[str, Any]) -> dict[str, Any]:
    """The models' results of an interrupted run; empty if there was no run.

    Raises:
        BenchmarkError: its results cannot be read, or were measured with other options, another CPU or commit.
    """
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in _SAME_OPTIONS if document["options"][name] != now["options"][name]]
        other += [name for name in ("cpu", "commit") if document["machine"][name] != now["machine"][name]]
        models: dict[str, Any] = document["models"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BenchmarkError(f"{path} cannot be read ({error}): run without --resume") from None
    if other:
        raise BenchmarkError(
            f"{path} was measured with another {', '.join(other)}: run without --resume, or choose another --out"
        )
    return models


def _save(document: dict[str, Any], out: Path) -> None:
    part = out / ".results.json.part"
    part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    part.replace(out / "results.json")
    for model, results in document["models"].items():
        results["plots"] = plots.draw(model, results, out)
    (out / "report.md").write_text(markdown(document), encoding="utf-8")

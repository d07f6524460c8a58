"""perf_analyzer on the ensemble and on the detector alone, by profile and concurrency."""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.perf_analyzer import PerfAnalyzer, detector_data, ensemble_data, install
from benchmarks.performance.options import Options
from benchmarks.performance.participants import Participants, on

_LEAST_EACH = 3


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """All rounds.

    Returns:
        `missing`: why it could not be run, else empty; `profiles`: by profile, "ensemble" or "detector", and
        concurrency, a dict a round (see `perf_analyzer.read_csv`).
    """
    try:
        program = install()
    except BenchmarkError as error:
        print(f"left out: {error}", file=sys.stderr)
        return {"missing": str(error), "profiles": {}}
    profiles: dict[str, Any] = {profile: {"ensemble": {}, "detector": {}} for profile in participants.servers}
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for profile in participants.servers:
            data = {
                "ensemble": ensemble_data(participants.images[0].data, participants.classes, participants.threshold),
                "detector": detector_data(participants.pixels(profile)),
            }
            for what, document in data.items():
                path = Path(folder) / f"{profile}-{what}.json"
                path.write_text(json.dumps(document))
                cases += [(profile, what, path, concurrency) for concurrency in options.concurrency]
        order = [
            case
            for number in range(options.rounds)
            for case in random.Random(number).sample(cases, len(cases))  # noqa: S311 - only an order
        ]
        for profile, what, path, concurrency in tqdm(order, f"{participants.model}, perf_analyzer", file=sys.stderr):
            rounds = profiles[profile][what].setdefault(str(concurrency), [])
            rounds.append(_one(program, participants, options, profile, what, path, concurrency))
    return {"missing": "", "profiles": profiles}


def _one(  # noqa: PLR0913, PLR0917 - one point of the grid
    program: PerfAnalyzer,
    participants: Participants,
    options: Options,
    profile: str,
    what: str,
    data: Path,
    concurrency: int,
) -> dict[str, float]:
    server = participants.servers[profile]
    model = participants.model if what == "ensemble" else participants.detectors[profile].name
    with on(server):
        few = program.run(server.grpc, model, data, concurrency, concurrency)
        count = max(_LEAST_EACH * concurrency, round(few["throughput"] * options.seconds))
        return program.run(server.grpc, model, data, concurrency, count)

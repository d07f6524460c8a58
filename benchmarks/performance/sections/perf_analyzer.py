"""The section `perf_analyzer`: NVIDIA's load generator on the ensemble and on the detector alone."""

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
from benchmarks.performance.participants import Participants, resumed

_MIN_REQUESTS_PER_CLIENT = 3


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """Measure all rounds.

    Returns:
        `missing`: why perf_analyzer cannot be run, or empty. `profiles`: by profile, "ensemble" or "detector", and
        concurrency, a dict a round (see `perf_analyzer.read_csv`).
    """
    try:
        program = install()
    except BenchmarkError as error:
        print(f"skipped: {error}", file=sys.stderr)
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
            rounds.append(_measure_case(program, participants, options, profile, what, path, concurrency))
    return {"missing": "", "profiles": profiles}


def _measure_case(  # noqa: PLR0913, PLR0917 - one point of the grid
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
    with resumed(server):
        # A short run gives the rate, from which the number of requests for the wanted duration follows.
        short = program.run(server.grpc, model, data, concurrency, concurrency)
        count = max(_MIN_REQUESTS_PER_CLIENT * concurrency, round(short["throughput"] * options.seconds))
        return program.run(server.grpc, model, data, concurrency, count)

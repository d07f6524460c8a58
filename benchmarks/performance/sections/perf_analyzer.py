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
from benchmarks.performance.participants import Contest, on

_LEAST_EACH = 3


def measure(contest: Contest, options: Options) -> dict[str, Any]:
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
    profiles: dict[str, Any] = {profile: {"ensemble": {}, "detector": {}} for profile in contest.servers}
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for profile in contest.servers:
            data = {
                "ensemble": ensemble_data(contest.images[0].data, contest.classes, contest.threshold),
                "detector": detector_data(contest.pixels(profile)),
            }
            for what, document in data.items():
                path = Path(folder) / f"{profile}-{what}.json"
                path.write_text(json.dumps(document))
                cases += [(profile, what, path, clients) for clients in options.concurrency]
        order = [
            case
            for number in range(options.rounds)
            for case in random.Random(number).sample(cases, len(cases))  # noqa: S311 - only an order
        ]
        for profile, what, path, clients in tqdm(order, f"{contest.model}, perf_analyzer", file=sys.stderr):
            rounds = profiles[profile][what].setdefault(str(clients), [])
            rounds.append(_one(program, contest, options, profile, what, path, clients))
    return {"missing": "", "profiles": profiles}


def _one(  # noqa: PLR0913, PLR0917 - one point of the grid
    program: PerfAnalyzer, contest: Contest, options: Options, profile: str, what: str, data: Path, clients: int
) -> dict[str, float]:
    server = contest.servers[profile]
    model = contest.model if what == "ensemble" else contest.detectors[profile].name
    with on(server):
        few = program.run(server.grpc, model, data, clients, clients)
        count = max(_LEAST_EACH * clients, round(few["throughput"] * options.seconds))
        return program.run(server.grpc, model, data, clients, count)

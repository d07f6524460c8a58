"""Command line of `sod bench batch`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sod_client import SodError
from sod_client._archives import packages

from benchmarks import section_run
from benchmarks.arguments import add_sections, whole
from benchmarks.batch import cluster, kills, load
from benchmarks.batch.options import SECTIONS, Options
from benchmarks.batch.report import markdown, targets


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.batch.cli") -> int:
    """Measure, and print the report.

    Returns:
        0; 1 if a target is not met, or with a message on stderr if it is impossible; 130 after Ctrl-C or SIGTERM.
    """
    parsed = _parser(prog).parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sod-batch-") as temporary:
        options = Options(
            sections=tuple(dict.fromkeys(parsed.sections)),
            model=parsed.model,
            profile=parsed.profile,
            url=parsed.url,
            images=parsed.images,
            count=parsed.count,
            counts=(min(parsed.counts), max(parsed.counts)),
            killed_count=parsed.killed_count,
            kills=parsed.kills,
            cluster_count=parsed.cluster_count,
            rounds=parsed.rounds,
            concurrency=parsed.concurrency,
            sleep_s=parsed.sleep_ms / 1000,
            seed=parsed.seed,
            folder=Path(temporary),
            json=parsed.json,
        )
        return section_run.run(
            prog,
            options.sections,
            {
                "throughput": lambda: load.measure_throughput(options),
                "memory": lambda: load.measure_memory(options),
                "kills": lambda: kills.measure(options),
                "cluster": lambda: cluster.measure(options),
            },
            markdown=markdown,
            targets=targets,
            problems={**dict.fromkeys(SECTIONS, _problem), "cluster": lambda: _problem() or cluster.problem()},
            json_file=options.json,
        )


def _problem() -> str:
    try:
        packages.arrow("pyarrow.parquet")
    except SodError as error:
        return str(error)
    return ""


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure `sod batch`: images a second beside raw requests (a server is started, unless --url is "
        "given); kill -9 of the client, a Ray worker, a raylet, the gateway and Triton at random moments (a server is "
        "started); memory and processor time with few and many images, and one and two Ray nodes, these two with a "
        "stand-in for the server. The exit status is 1 if a target is not met.",
    )
    add_sections(parser, SECTIONS)
    parser.add_argument(
        "--model", default="PP-YOLOE_plus_SOD-demo", help="ensemble of throughput and kills (default: %(default)s)"
    )
    parser.add_argument("--profile", default="cpu_high_performance", help="default: %(default)s")
    parser.add_argument("--url", help="a running gateway for throughput (default: a server is started)")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="JPEG files, used under many names (default: synthetic images)"
    )
    parser.add_argument("--count", type=whole(101), default=2000, help="images of throughput (default: %(default)s)")
    parser.add_argument(
        "--counts", type=whole(101), nargs=2, default=(2000, 20_000), help="images of memory (default: 2000 20000)"
    )
    parser.add_argument("--killed-count", type=whole(101), default=3000, help="images of kills (default: %(default)s)")
    parser.add_argument("--kills", type=whole(), default=10, help="number of kills (default: %(default)s)")
    parser.add_argument(
        "--cluster-count", type=whole(101), default=800, help="images of cluster (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=whole(), default=3, help="of throughput (default: %(default)s)")
    parser.add_argument("--concurrency", type=whole(), default=8, help="requests at once (default: %(default)s)")
    parser.add_argument(
        "--sleep-ms", type=whole(), default=100, help="of the stand-in in cluster, for an image (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

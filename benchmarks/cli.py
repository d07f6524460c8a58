"""Command line of `sod bench`: the whole report, or a single measurement."""

import importlib
import sys
from collections.abc import Callable, Sequence

REPORT = "report"
# Module and description of each subcommand. A module is imported only when it is used, since some need many packages.
COMMANDS = {
    REPORT: (
        "benchmarks.performance.cli",
        "the whole report, with the targets (the default)",
    ),
    "batch": (
        "benchmarks.batch.cli",
        "archives: throughput, memory, kills and Ray nodes of `sod batch`",
    ),
    "edge": (
        "benchmarks.edge",
        "edge models in Chromium beside ONNX Runtime in Python",
    ),
    "fleet": (
        "benchmarks.fleet.cli",
        "several Tritons behind gateways: one lost, slow or new, and how requests/s grow with them",
    ),
    "gateway-overhead": (
        "benchmarks.gateway_overhead",
        "latency that the gateway adds to the ensemble",
    ),
    "gpu": ("benchmarks.gpu", "the detector on a CUDA GPU in FP32 and FP16"),
    "gpu-day": (
        "benchmarks.gpu_day.cli",
        "all that is to be measured on a GPU machine within ten minutes, with its report",
    ),
    "overload": ("benchmarks.overload", "the server under far more load than its capacity"),
    "slices": (
        "benchmarks.slices.cli",
        "accuracy, speed, memory and fairness of sliced inference, beside SAHI",
    ),
    "sdk-throughput": (
        "benchmarks.sdk_throughput",
        "throughput of the Python SDK and of raw HTTP requests",
    ),
    "watch": (
        "benchmarks.watch.cli",
        "videos: tracking, counting, throughput and processor time of `sod watch`",
    ),
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.cli") -> int:
    """Run a subcommand and return its exit status; 2 if there is no such subcommand."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words and not words[0].startswith("-") else REPORT
    if name not in COMMANDS:
        print(f"{prog}: there is no command {name!r}; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    run: Callable[..., int] = importlib.import_module(COMMANDS[name][0]).main
    if name == REPORT:
        return run(words, prog=prog, epilog=_describe(prog))
    return run(words, prog=f"{prog} {name}")


def _describe(prog: str) -> str:
    lines = [f"  {name:<18}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["single measurements:", *lines, "", f"{prog} NAME --help describes each of them."])


if __name__ == "__main__":
    sys.exit(main())

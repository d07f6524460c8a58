"""Command line of `sod bench`: the whole report, or one of the measurements by itself."""

import importlib
import sys
from collections.abc import Callable, Sequence

REPORT = "report"
# Module and a line of help; each loads what only it needs.
_PARTS = {
    REPORT: (
        "benchmarks.performance.cli",
        "the whole report, beside the engine alone and the targets (the default)",
    ),
    "gateway-overhead": ("benchmarks.gateway_overhead", "what the gateway of a running server adds to the ensemble"),
    "gpu": ("benchmarks.gpu", "the detector on a CUDA GPU, FP32 and FP16"),
    "overload": ("benchmarks.overload", "a running server under far more load than it can take"),
    "sdk-throughput": ("benchmarks.sdk_throughput", "the Python SDK against raw HTTP requests to a running server"),
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.cli") -> int:
    """Run a part; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words and not words[0].startswith("-") else REPORT
    if name not in _PARTS:
        print(f"{prog}: there is no {name!r}; there are {', '.join(_PARTS)}", file=sys.stderr)
        return 2
    run: Callable[..., int] = importlib.import_module(_PARTS[name][0]).main
    if name == REPORT:
        return run(words, prog=prog, epilog=_describe(prog))
    return run(words, prog=f"{prog} {name}")


def _describe(prog: str) -> str:
    lines = [f"  {name:<18}{text}" for name, (_, text) in _PARTS.items()]
    return "\n".join(["one measurement by itself:", *lines, "", f"{prog} NAME --help describes each."])


if __name__ == "__main__":
    sys.exit(main())

"""Command line of `sod bench`: the whole report, or one of the measurements by itself."""

import importlib
import sys
from collections.abc import Sequence

_PARTS = {
    "report": (
        "benchmarks.performance.cli",
        "everything, as a report with the targets (this is what `sod bench` alone does)",
    ),
    "gateway-overhead": (
        "benchmarks.gateway_overhead",
        "what the gateway adds to the ensemble's time, of a running server",
    ),
    "overload": ("benchmarks.overload", "what a running server does under far more load than it can take"),
    "sdk-throughput": ("benchmarks.sdk_throughput", "the Python SDK against raw HTTP requests to a running server"),
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.cli") -> int:
    """Run a part; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words and words[0] in _PARTS else "report"
    if name == "report" and words and not words[0].startswith("-"):
        print(f"sod bench: there is no {words[0]!r}; there are {', '.join(_PARTS)}", file=sys.stderr)
        return 2
    # Each loads what only it needs.
    module = importlib.import_module(_PARTS[name][0])
    title = f"{prog} {name}" if name != "report" else prog
    code: int = module.main(words, prog=title)
    return code


def describe() -> str:
    """The parts, a line each."""
    return "\n".join(f"  {name:<18}{text}" for name, (_, text) in _PARTS.items())


if __name__ == "__main__":
    sys.exit(main())

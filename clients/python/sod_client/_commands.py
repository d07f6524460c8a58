"""Sub-commands of `sod` that other packages bring, found by the entry-point group `sod.commands`.

The server's package brings `export` and `serve`; a client alone has neither, and needs none of its code. An entry point
is a function of the arguments and `prog` (the name to show in its help), and returns the exit code.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

GROUP = "sod.commands"
FAILED = 1
USAGE = 2
# One line for `sod --help`: asking the commands themselves would load what they need, which takes seconds.
_HELP = {"export": "make a served model of a Paddle inference model", "serve": "start the server"}
_PACKAGE = "triton-sod"


def installed() -> dict[str, str]:
    """Name → one line of help of every command that is installed; nothing is loaded."""
    return {name: _HELP.get(name, f"of {_origin(entry)}") for name, entry in sorted(_found().items())}


def run(name: str, arguments: Sequence[str]) -> int | None:
    """Run a command; None if there is none of this name."""
    entry = _found().get(name)
    if entry is None:
        if name not in _HELP:
            return None
        _complain(f"the server's package, {_PACKAGE}, brings {name}, and is not installed here")
        return USAGE
    try:
        command = entry.load()
    except ImportError as error:
        _complain(f"{name} cannot be loaded ({error}): install {_origin(entry)} with all that it needs")
        return FAILED
    code: int = command(list(arguments), prog=f"sod {name}")
    return code


def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _complain(sentence: str) -> None:
    print(f"sod: {sentence}", file=sys.stderr)

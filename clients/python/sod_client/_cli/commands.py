"""Sub-commands of `sod` that other packages bring, found by the entry-point group `sod.commands`.

The server's package brings `serve`, `export` and more; a client alone has none of them, and needs none of their code.
An entry point is a function of the arguments and `prog` (the name to show in its help), and returns the exit code.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

GROUP = "sod.commands"
FAILED = 1
USAGE = 2
PACKAGE = "triton-sod"
# One line for `sod --help`, as asking the commands themselves would load what they need, which takes seconds; and what
# of the package brings all that they need.
_KNOWN = {
    "bench": ("measure the speed of what is served", "bench"),
    "doctor": ("say what this machine lacks to serve", ""),
    "eval": ("measure the accuracy of what is served", "bench"),
    "export": ("make a served model of a Paddle inference model", "export"),
    "finetune": ("train a detector on your own images", "export"),
    "serve": ("start the server", "serve"),
}


def installed() -> dict[str, str]:
    """Name → one line of help of every command that is installed; nothing is loaded."""
    return {
        name: _KNOWN[name][0] if name in _KNOWN else f"of {_origin(entry)}" for name, entry in sorted(_found().items())
    }


def run(name: str, arguments: Sequence[str]) -> int | None:
    """Run a command; None if there is none of this name."""
    entry = _found().get(name)
    if entry is None:
        if name not in _KNOWN:
            return None
        _complain(f"{name} is a command of the server's package, which is not installed here: {_install(name)}")
        return USAGE
    try:
        command = entry.load()
    except ImportError as error:
        _complain(f"{name} cannot be loaded ({error}): {_install(name, entry)}")
        return FAILED
    code: int = command(list(arguments), prog=f"sod {name}")
    return code


def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _install(name: str, entry: EntryPoint | None = None) -> str:
    """What to do about a command that is not there, or not whole."""
    package = PACKAGE if entry is None else _origin(entry)
    if package != PACKAGE:
        return f"install {package} with all that it needs"
    extra = _KNOWN.get(name, ("", ""))[1]
    return f"pip install '{package}[{extra}]'" if extra else f"pip install {package}"


def _complain(sentence: str) -> None:
    print(f"sod: {sentence}", file=sys.stderr)

"""Sub-commands of `sod` that other packages provide, as entry points of the group `sod.commands`.

The server's package provides `serve`, `export` and more. The client alone has none of them, and needs none of their
code. An entry point names a function that takes the arguments and `prog`, the program's name for its help, and returns
the exit code.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

GROUP = "sod.commands"
FAILED = 1
USAGE = 2
PACKAGE = "triton-sod"
# For each command of triton-sod, its description in `sod --help`, and what installs it with its dependencies: a target
# of the Makefile, because triton-sod is in no package index. The descriptions are here because loading the commands
# takes seconds.
_KNOWN = {
    "bench": ("measure the speed of the server", "make serve"),
    "doctor": ("check whether this machine can run the server", "make serve"),
    "eval": ("measure the accuracy of a model", "make serve"),
    "export": ("convert a Paddle model and install it in the server", "make export"),
    "finetune": ("train a detector on your own images", "make export"),
    "serve": ("start the server", "make serve"),
}


def installed() -> dict[str, str]:
    """The name and description of every command that is installed. No command is loaded."""
    return {
        name: _KNOWN[name][0] if name in _KNOWN else f"provided by the package {_package(entry)}"
        for name, entry in sorted(_entry_points().items())
    }


def run(name: str, arguments: Sequence[str]) -> int | None:
    """Run a command and return its exit code; None if there is no such command."""
    entry = _entry_points().get(name)
    if entry is None:
        if name not in _KNOWN:
            return None
        _print_error(f"{name} is a command of the server's package, which is not installed: {_install_hint(name)}")
        return USAGE
    try:
        code: int = entry.load()(list(arguments), prog=f"sod {name}")
    except ImportError as error:  # also of what the command imports when it has read its arguments
        _print_error(f"{name} cannot run ({error}): {_install_hint(name, entry)}")
        return FAILED
    return code


def _entry_points() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _install_hint(name: str, entry: EntryPoint | None = None) -> str:
    """How to install a command that is missing, or that lacks a dependency."""
    package = PACKAGE if entry is None else _package(entry)
    if package != PACKAGE:
        return f"install {package} with all its dependencies"
    return f"`{_KNOWN.get(name, ('', 'make serve'))[1]}` in a checkout of {package} installs it"


def _print_error(sentence: str) -> None:
    print(f"sod: {sentence}", file=sys.stderr)

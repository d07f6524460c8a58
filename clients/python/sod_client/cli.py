"""The `sod` command."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from sod_client._cli import commands as _commands
from sod_client._cli import completion, console, paddlex, parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or with the process's own; returns the exit code."""
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        with warnings.catch_warnings():
            console.show_warnings()
            return _run(given)
    except KeyboardInterrupt:
        return console.INTERRUPTED
    except BrokenPipeError:  # as in `sod predict ... | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its exit
        return console.FAILED
    except OSError as error:  # a full disk behind stdout
        console.complain(f"cannot go on: {error}")
        return console.FAILED


def _run(given: list[str]) -> int:
    if completion.is_asked():
        completion.answer(parser.make(), parser.OWN)
    if not given:
        parser.make().print_help(sys.stderr)
        return console.USAGE
    first = given[0]
    if first.startswith("-") and first not in ("-h", "--help"):
        root = parser.make(commands=False)
        return paddlex.run(root, *root.parse_known_args(given))
    if first not in parser.OWN and (code := _commands.run(first, given[1:])) is not None:
        return code
    arguments = parser.make().parse_args(given)
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""The entry point of the command `sod`."""

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from sod_client._archives import command as batch
from sod_client._cli import completion, console, models, options, paddlex, parser, plugins
from sod_client._cli.watch.values import with_points_joined
from sod_client.errors import SodError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or with those of the process; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    _open_standard_streams()
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # without its own lines beside the sentence of an error
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is shown with escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            console.show_warnings()
            return _run(arguments)
    except KeyboardInterrupt:
        return console.INTERRUPTED
    except BrokenPipeError:  # for example `sod predict ... | head -1`
        # Python flushes stdout at its exit, which would print another error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return console.FAILED
    except SodError as error:  # an option that only the call itself checks
        console.print_error(str(error))
        return console.exit_code_before_sending(error)
    except OSError as error:  # for example, the disk of stdout is full
        console.print_error(f"cannot continue: {error}")
        return console.FAILED


def _open_standard_streams() -> None:
    """Open /dev/null in place of what is closed (`>&-`), or the next file that is opened would take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _run(arguments: list[str]) -> int:
    if completion.is_requested():
        completion.complete(parser.create_parser(), parser.OWN_COMMANDS)
    if not arguments:
        parser.create_parser().print_help(sys.stderr)
        return console.USAGE
    first = arguments[0]
    if first in ("predict", "watch") or first.startswith("-"):
        arguments = options.with_flags_last(with_points_joined(arguments) if first == "watch" else arguments)
        first = arguments[0]
    if first.startswith("-") and first not in ("-h", "--help"):
        root = parser.create_parser(with_commands=False)
        return paddlex.run(root, *root.parse_known_args(arguments))
    if first == "models" and arguments[1:] and arguments[1] in models.ACTIONS:
        code = plugins.run(first, arguments[1:])
        if code is None:
            console.print_error("sod models load, unload and remove are the server's, which is not installed here")
            return console.USAGE
        return code
    if first not in parser.OWN_COMMANDS and (code := _run_other(first, arguments[1:])) is not None:
        return code
    parsed = parser.create_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    return command(parsed)


def _run_other(name: str, arguments: list[str]) -> int | None:
    """Run `sod batch`, or a command of another package; None if there is no such command."""
    return batch.main(arguments) if name == batch.NAME else plugins.run(name, arguments)


if __name__ == "__main__":
    sys.exit(main())

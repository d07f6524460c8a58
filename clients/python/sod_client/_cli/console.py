"""Exit codes, and what is said on stderr: one sentence each."""

import sys
import warnings
from typing import TextIO

from sod_client._transport.window import NOT_OF_A_IMAGE
from sod_client.errors import DependencyError, InvalidInputError, LocalServerError, SodError, SodWarning

OK = 0
FAILED = 1
USAGE = 2  # argparse's own
UNREACHABLE = 3
INTERRUPTED = 130

EXIT_CODES = """\
exit codes:
  0    every image was detected (and saved, if asked)
  1    some image was not; the others were, unless --on_error raise
  2    the command line is wrong; nothing was sent
  3    no server did it: it gave no answer, was overloaded or refused the API key, or the local one does not start;
       the rest of the images were not sent
  130  interrupted by Ctrl-C
"""


def complain(sentence: str) -> None:
    """Say what went wrong."""
    _write(f"sod: {sentence}")


def note(sentence: str) -> None:
    """Say what is going on, to a person: nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        _write(f"sod: {sentence}")


def exit_code(error: SodError) -> int:
    """What an error that ended the command exits with."""
    if isinstance(error, (*NOT_OF_A_IMAGE, LocalServerError)):
        return UNREACHABLE
    return FAILED


def exit_code_before(error: SodError) -> int:
    """What an error that came before anything was sent exits with."""
    if isinstance(error, InvalidInputError):
        return USAGE
    if isinstance(error, DependencyError):
        return UNREACHABLE
    return exit_code(error)


def show_warnings() -> None:
    """Show this package's warnings as sentences; inside of `warnings.catch_warnings`."""
    usual = warnings.showwarning

    def show(  # noqa: PLR0913, PLR0917 - warnings' own
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, SodWarning):
            complain(f"note: {message}")
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.simplefilter("always", SodWarning)
    warnings.showwarning = show


def _write(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

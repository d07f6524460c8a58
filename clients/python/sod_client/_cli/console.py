"""Exit codes, the signals that stop a command, and messages on stderr: one sentence each."""

import signal
import sys
import threading
import warnings
from typing import TextIO

from sod_client._calls.in_flight import CALL_ERRORS
from sod_client._results.files import visible
from sod_client.errors import DependencyError, InvalidInputError, LocalServerError, SodError, SodWarning

OK = 0
FAILED = 1
USAGE = 2  # the exit code of argparse
UNREACHABLE = 3
INTERRUPTED = 130
LINES = "\n\t"  # of sentences that have several

EXIT_CODES = """\
exit codes:
  0    every image was processed, and saved if requested
  1    at least one image failed; the others were processed, unless --on_error raise
  2    the command line is invalid; nothing was sent
  3    the server did not respond, was overloaded or refused the API key, or the local server did not start;
       the remaining images were not sent
  130  interrupted by Ctrl-C
"""


def print_error(sentence: str) -> None:
    """Print an error to stderr."""
    _write(sentence)


def print_summary(sentence: str) -> None:
    """Print what a long job did to stderr, also into a log."""
    _write(sentence)


def print_status(sentence: str) -> None:
    """Print a status message to stderr, if that is a terminal."""
    if sys.stderr.isatty():
        _write(sentence)


def plural(number: int, noun: str) -> str:
    """A number and what it counts.

    >>> plural(1, "image"), plural(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def stop_signals() -> list[signal.Signals]:
    """Ctrl-C and SIGTERM, as far as they are to be handled: in the main thread, which alone can, and not if ignored.

    A shell ignores Ctrl-C for what a script starts in the background.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    return [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]


def exit_code(error: SodError) -> int:
    """The exit code for an error that ended the command."""
    if isinstance(error, (*CALL_ERRORS, LocalServerError)):
        return UNREACHABLE
    return FAILED


def exit_code_before_sending(error: SodError) -> int:
    """The exit code for an error that ended the command before anything was sent."""
    if isinstance(error, InvalidInputError):
        return USAGE
    if isinstance(error, DependencyError):
        return UNREACHABLE
    return exit_code(error)


def show_warnings() -> None:
    """Print this package's warnings as sentences; must be called within `warnings.catch_warnings`."""
    default_showwarning = warnings.showwarning

    def show(  # noqa: PLR0913, PLR0917 - the signature of warnings.showwarning
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, SodWarning):
            print_error(f"note: {message}")
        else:
            default_showwarning(message, category, filename, lineno, file, line)

    warnings.simplefilter("always", SodWarning)
    warnings.showwarning = show


def _write(sentence: str) -> None:
    print(f"sod: {visible(sentence, keep=LINES)}", file=sys.stderr, flush=True)

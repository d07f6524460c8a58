"""What the commands of this package say when they cannot go on."""

import sys
from collections.abc import Callable

from benchmarks.evaluation.errors import EvaluationError
from export.errors import ExportError

STOPPED = 130  # exit code of what a signal stopped, and what can go on


class FinetuneError(Exception):
    """Something that was given does not fit; the text says what, and what would."""


def run(work: Callable[[], None]) -> int:
    """Do a command's work; 0, or 2 after saying on stderr why not."""
    try:
        work()
    except (FinetuneError, EvaluationError, ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0

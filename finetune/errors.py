"""The error that the training commands report, and how they report it."""

import sys
from collections.abc import Callable

from benchmarks.evaluation.errors import EvaluationError
from export.errors import ExportError
from sod.datasets.errors import DatasetError

STOPPED = 130  # exit code after SIGINT or SIGTERM; the training can be resumed


class FinetuneError(Exception):
    """An input cannot be used; the text says what is wrong and what would be right."""


def run(work: Callable[[], None]) -> int:
    """Run a command's work; return 0, or 2 after printing the error to stderr."""
    try:
        work()
    except (FinetuneError, DatasetError, EvaluationError, ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0

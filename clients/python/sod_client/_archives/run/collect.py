"""Collects the outcomes of a run in the dataset."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sod_client._archives.dataset.dataset import Dataset
from sod_client._archives.dataset.place import LocalPlace, OutputError
from sod_client._archives.dataset.schema import Constants, Row
from sod_client._archives.inputs.source import Source
from sod_client._archives.run.progress import Progress
from sod_client._archives.run.work import Worker
from sod_client._cli import console

PART_ROWS = 4096
PART_OBJECTS = 100_000
LOCAL_S, REMOTE_S = 2.0, 10.0
"""Seconds between two parts."""


@dataclass
class Totals:
    """What a run did.

    Attributes:
        images: rows that were written.
        objects: in them.
        kept: files whose rows of an earlier run were kept.
        size: bytes that were read.
        failures: the number of failed images by kind.
        interrupted: whether Ctrl-C ended it.
    """

    images: int = 0
    objects: int = 0
    kept: int = 0
    size: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False


def collect(  # noqa: PLR0913, PLR0917 - the parts of a run
    worker: Worker,
    sources: Iterator[Source],
    dataset: Dataset,
    constants: Constants,
    check: Callable[[], None],
    progress: Progress,
) -> Totals:
    """Do all files, and write their rows in parts: every two seconds, or ten in an object store.

    The first Ctrl-C ends the listing and waits for what is in flight; a second one ends the run at once.

    Args:
        worker: does the files.
        sources: the files.
        dataset: gets the rows.
        constants: what is the same in all of them.
        check: called before rows are written; raises a SodError if they must not be.
        progress: shows what is done.

    Raises:
        SodError: the servers do not respond, or the dataset cannot be written; the rows before are in the dataset.
        KeyboardInterrupt: of the second Ctrl-C.
    """
    totals, buffer = Totals(), _Buffer(dataset, constants, check)
    try:
        with _stops_on_signal(worker, totals, progress):
            for outcome in worker.outcomes(sources):
                if outcome is not None:
                    totals.images += len(outcome.rows) if outcome.is_image else 0
                    totals.objects += sum(len(row.objects) for row in outcome.rows)
                    totals.kept += outcome.is_kept
                    totals.size += outcome.size
                    totals.failures += outcome.failures
                    buffer.add(outcome.rows)
                    progress.step(outcome, totals.failures)
                buffer.write_if_due()
    except OutputError:
        raise  # what could not be written now cannot be written below
    except BaseException:
        buffer.write()
        raise
    finally:
        worker.stop()
    buffer.write()
    return totals


@contextmanager
def _stops_on_signal(worker: Worker, totals: Totals, progress: Progress) -> Iterator[None]:
    """Have the first Ctrl-C, or SIGTERM, stop the listing; the second one has its usual effect."""
    usual = {one: signal.getsignal(one) for one in console.stop_signals()}

    def restore() -> None:
        for one, handler in usual.items():
            signal.signal(one, handler)

    def stop(_number: int, _frame: object) -> None:
        restore()
        totals.interrupted = True
        worker.stop()
        progress.note("the images in flight are being finished; Ctrl-C again ends at once")

    for one in usual:
        signal.signal(one, stop)
    try:
        yield
    finally:
        restore()


class _Buffer:
    """Rows that are not written yet."""

    def __init__(self, dataset: Dataset, constants: Constants, check: Callable[[], None]) -> None:
        self._dataset, self._constants, self._check = dataset, constants, check
        self._rows: list[Row] = []
        self._objects = 0
        self._every_s = LOCAL_S if isinstance(dataset.place, LocalPlace) else REMOTE_S
        self._due = time.monotonic() + self._every_s

    def add(self, rows: list[Row]) -> None:
        self._rows += rows
        self._objects += sum(len(row.objects) for row in rows)

    def write_if_due(self) -> None:
        is_full = len(self._rows) >= PART_ROWS or self._objects >= PART_OBJECTS
        if is_full or time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        rows, self._rows, self._objects = self._rows, [], 0
        if rows:
            self._check()
            self._dataset.add(rows, self._constants)
        self._due = time.monotonic() + self._every_s

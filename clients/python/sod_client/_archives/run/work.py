"""Does the files of a stream in threads: a bounded number is in flight, and listing waits for them."""

import hashlib
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from sod_client._archives.dataset.index import Done, Index
from sod_client._archives.dataset.schema import FAILED, GONE, Row, text
from sod_client._archives.inputs.source import Source, Stamp
from sod_client._archives.run.gateways import Gateways
from sod_client._archives.run.images import failed, rows_of
from sod_client.errors import SodError


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        rows: of its images; empty if they are in the dataset already.
        size: bytes that were read.
        is_kept: whether the rows of an earlier run are kept.
        failures: the number of failed images by kind, among rows that are kept too.
        is_image: whether it was a file with images.
    """

    rows: list[Row] = field(default_factory=list)
    size: int = 0
    is_kept: bool = False
    failures: Counter[str] = field(default_factory=Counter)
    is_image: bool = True


class Worker(Protocol):
    """Detects the files of a stream."""

    def outcomes(self, sources: Iterator[Source]) -> Iterator[Outcome | None]:
        """The outcome of each file, in any order; None now and then while there is none."""
        ...

    def stop(self) -> None:
        """List nothing more; `outcomes` ends after what is in flight."""
        ...


@dataclass(frozen=True)
class Resume:
    """What is not done again.

    Attributes:
        index: what was done before.
        verify: whether a file counts as unchanged by the SHA-256 of its content rather than by its stamp.
        retry_failed: whether files with failed images are done again.
    """

    index: Index
    verify: bool = False
    retry_failed: bool = False

    def plan(self, source: Source) -> "tuple[Stamp, bytes | None] | Outcome":
        """The stamp, and the content if it was read; or the outcome, if the file was done before or is not there."""
        done = self.index.find(text(source.path))
        if source.is_end:  # a row says that the shard could not be read, which is no longer so
            return Outcome(
                [] if done is None else [Row(text(source.path), None, None, None, None, GONE)], is_image=False
            )
        is_open = done is None or (done.is_failed and self.retry_failed)
        try:
            stamp = source.stamp()
            if done is None or is_open or (self.verify and done.sha256 is None):
                return stamp, None
            if not self.verify:
                return _kept(done) if stamp == done.stamp else (stamp, None)
            content = source.read()
        except SodError as error:
            if done is not None and done.is_failed and done.sha256 is None and not is_open:
                return _kept(done)
            return outcome([failed(Row(text(source.path), None, None, None, None, FAILED), error)])
        return _kept(done) if hashlib.sha256(content).hexdigest() == done.sha256 else (stamp, content)


def outcome(rows: list[Row]) -> Outcome:
    """The outcome with these rows."""
    failures = Counter(row.error_kind or "" for row in rows if row.status == FAILED)
    return Outcome(rows, rows[0].size or 0 if rows and rows[0].sha256 is not None else 0, failures=failures)


def _kept(done: Done) -> Outcome:
    return Outcome(is_kept=True, failures=Counter({"failed before": 1} if done.is_failed else {}))


class Threads:
    """Detects files in threads.

    Args:
        gateways: detect the images.
        resume: what is not done again.
        threads: their number; more than the requests at once, so that some files are read meanwhile.
    """

    def __init__(self, gateways: Gateways, resume: Resume, threads: int) -> None:
        self._gateways = gateways
        self._resume = resume
        self._threads = threads
        self._stopped = threading.Event()
        self._sources: queue.Queue[Source | None] = queue.Queue(threads)
        self._outcomes: queue.Queue[Outcome | BaseException | None] = queue.Queue(4 * threads)

    def stop(self) -> None:
        """List nothing more."""
        self._stopped.set()

    def outcomes(self, sources: Iterator[Source]) -> Iterator[Outcome | None]:
        """The outcomes; None if there is none for a tenth of a second.

        Raises:
            SodError: the servers do not respond; what was in flight was handed out before.
        """
        for work in (lambda: self._list(sources), *[self._work] * self._threads):
            threading.Thread(target=work, daemon=True, name="sod-batch").start()
        running, failure = self._threads, None
        while running:
            try:
                got = self._outcomes.get(timeout=0.1)
            except queue.Empty:
                yield None
                continue
            if got is None:
                running -= 1
            elif isinstance(got, BaseException):
                failure = failure or got
                self.stop()
            else:
                yield got
        if failure is not None:
            raise failure

    def _list(self, sources: Iterator[Source]) -> None:
        try:
            for source in sources:
                if self._stopped.is_set():
                    break
                if self._resume.index.claim(text(source.path)):
                    self._sources.put(source)
        except BaseException as error:
            self._outcomes.put(error)
        for _ in range(self._threads):
            self._sources.put(None)

    def _work(self) -> None:
        while (source := self._sources.get()) is not None:
            if self._stopped.is_set():
                continue
            try:
                planned = self._resume.plan(source)
                if isinstance(planned, Outcome):
                    self._outcomes.put(planned)
                else:
                    self._outcomes.put(outcome(rows_of(source, *planned, self._gateways)))
            except BaseException as error:
                self._outcomes.put(error)
            del source
        self._outcomes.put(None)

"""One run over an archive, from the lock to the sorted files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sod_client._archives import packages
from sod_client._archives.dataset.dataset import Dataset
from sod_client._archives.dataset.index import Index
from sod_client._archives.dataset.lock import Lock
from sod_client._archives.dataset.place import place_of
from sod_client._archives.dataset.schema import Constants
from sod_client._archives.inputs.source import Source
from sod_client._archives.inputs.stream import check_inputs, count, sources
from sod_client._archives.run.collect import Totals, collect
from sod_client._archives.run.gateways import Gateways
from sod_client._archives.run.progress import Progress
from sod_client._archives.run.settings import Detection, Server, check_same
from sod_client._archives.run.work import Resume, Threads, Worker
from sod_client.errors import SodError


class Detectors(Protocol):
    """What detects the files of a run, from its creation to `close`.

    Attributes:
        constants: what the rows have in common.
        described: what they depend on.
    """

    constants: Constants
    described: dict[str, Any]

    def worker(self, resume: Resume) -> Worker:
        """What does the files of a stream."""
        ...

    def check_weights(self) -> None:
        """Check that no server has loaded other weights since the run began, as far as they tell it.

        Raises:
            OtherRunError: one has.
        """
        ...

    def close(self) -> None:
        """End the connections, and the servers that were started."""
        ...


@dataclass(frozen=True)
class Batch:
    """What a run does.

    Attributes:
        inputs: folders, patterns, manifests, shards, files and URLs.
        output: a folder, or an address of an object store.
        server: which servers detect.
        detection: how.
        column: of the manifests, with the images.
        verify: whether a file counts as unchanged by its SHA-256 rather than by size and time, or ETag.
        retry_failed: whether failed images are done again.
        restart: whether to remove the dataset's rows first.
        hides_progress: whether to show no bar.
        finish: what is made of the complete dataset; it is called while no other process may write.
    """

    inputs: Sequence[str]
    output: str
    server: Server = field(default_factory=Server)
    detection: Detection = field(default_factory=Detection)
    column: str | None = None
    verify: bool = False
    retry_failed: bool = False
    restart: bool = False
    hides_progress: bool = False
    finish: Callable[[Dataset], None] | None = None


class _ThisProcess:
    """Detects in threads of this process."""

    def __init__(self, server: Server, detection: Detection) -> None:
        self._gateways = Gateways(server, detection)
        self._threads = 2 * server.max_in_flight * len(self._gateways)
        self.constants = self._gateways.constants
        self.described = self._gateways.described

    def worker(self, resume: Resume) -> Worker:
        return Threads(self._gateways, resume, self._threads)

    def check_weights(self) -> None:
        self._gateways.check_weights()

    def close(self) -> None:
        self._gateways.close()


def run(batch: Batch, open_detectors: Callable[[], Detectors] | None = None) -> Totals:
    """Detect what is not done, and compact the dataset unless Ctrl-C ended the run.

    Args:
        batch: what to do.
        open_detectors: opens what detects them; None detects in threads of this process.

    Raises:
        LockedError: another process writes to the dataset.
        OtherRunError: the dataset was made with other settings.
        OutputError: the dataset cannot be read or written.
        SodError: a server does not respond, or a package is missing. What was written before stays valid.
    """
    packages.arrow("pyarrow.parquet")
    dataset = Dataset(place_of(batch.output))
    lock = Lock(dataset.place)
    try:
        detectors: Detectors = open_detectors() if open_detectors else _ThisProcess(batch.server, batch.detection)
        try:
            return _run(batch, dataset, lock, detectors)
        finally:
            detectors.close()
    finally:
        lock.close()


def _run(batch: Batch, dataset: Dataset, lock: Lock, detectors: Detectors) -> Totals:
    dataset.recover()
    if batch.restart:
        check_inputs(batch.inputs, batch.column, batch.output)
        dataset.clear()
    before = dataset.run()
    if before is None:
        dataset.begin(detectors.described)
    else:
        check_same(batch.output, before, detectors.described)
        if before.get("model_sha256") is None and detectors.constants.model_sha256 is not None:
            dataset.begin(detectors.described)  # the rows from now on depend on these weights

    def check() -> None:
        lock.check()
        detectors.check_weights()

    index = Index()
    progress = Progress(lambda: count(batch.inputs, batch.column), is_hidden=batch.hides_progress)
    try:
        dataset.load(index)
        worker = detectors.worker(Resume(index, batch.verify, batch.retry_failed))
        unlisted = _Unlisted(progress)
        stream: Iterator[Source] = sources(batch.inputs, unlisted, batch.column, batch.output)
        totals = collect(worker, stream, dataset, detectors.constants, check, progress)
        totals.failures.update({"not listed": unlisted.count} if unlisted.count else {})
    finally:
        progress.close()
        index.close()
    if not totals.interrupted:
        lock.check()
        dataset.compact()
        if batch.finish is not None:
            batch.finish(dataset)
    return totals


class _Unlisted:
    """Prints and counts inputs, and parts of them, that could not be listed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.count = 0

    def __call__(self, error: SodError) -> None:
        self.count += 1
        self._progress.note(str(error))

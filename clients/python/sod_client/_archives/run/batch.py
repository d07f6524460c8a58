"""One run over an archive, from the lock to the sorted files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sod_client._archives import packages
from sod_client._archives.dataset.dataset import Dataset
from sod_client._archives.dataset.index import Index
from sod_client._archives.dataset.lock import Lock
from sod_client._archives.dataset.place import place_of
from sod_client._archives.inputs.source import Source
from sod_client._archives.inputs.stream import count, sources
from sod_client._archives.run.collect import Totals, collect
from sod_client._archives.run.gateways import Gateways
from sod_client._archives.run.progress import Progress
from sod_client._archives.run.settings import Detection, Server, check_same
from sod_client._archives.run.work import Resume, Threads, Worker
from sod_client.errors import SodError

CreateWorker = Callable[[Gateways, Resume], Worker]


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


def run(batch: Batch, create_worker: CreateWorker | None = None) -> Totals:
    """Detect what is not done, and compact the dataset unless Ctrl-C ended the run.

    Args:
        batch: what to do.
        create_worker: what does the files; None is `Threads`.

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
        gateways = Gateways(batch.server, batch.detection)
        try:
            return _run(batch, dataset, lock, gateways, create_worker)
        finally:
            gateways.close()
    finally:
        lock.close()


def _run(batch: Batch, dataset: Dataset, lock: Lock, gateways: Gateways, create_worker: CreateWorker | None) -> Totals:
    dataset.recover()
    if batch.restart:
        dataset.clear()
    before = dataset.run()
    if before is None:
        dataset.begin(gateways.described)
    else:
        check_same(batch.output, before, gateways.described)
        if before.get("model_sha256") is None and gateways.constants.model_sha256 is not None:
            dataset.begin(gateways.described)  # the rows from now on depend on these weights

    def check() -> None:
        lock.check()
        gateways.check_weights()

    index = Index()
    progress = Progress(lambda: count(batch.inputs, batch.column), is_hidden=batch.hides_progress)
    try:
        dataset.load(index)
        resume = Resume(index, batch.verify, batch.retry_failed)
        if create_worker is None:
            worker: Worker = Threads(gateways, resume, 2 * batch.server.max_in_flight * len(gateways))
        else:
            worker = create_worker(gateways, resume)
        unlisted = _Unlisted(progress)
        stream: Iterator[Source] = sources(batch.inputs, unlisted, batch.column, batch.output)
        totals = collect(worker, stream, dataset, gateways.constants, check, progress)
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

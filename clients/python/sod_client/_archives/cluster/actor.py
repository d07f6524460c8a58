"""What runs on a node: an actor that reads files and asks the servers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from sod_client._archives.inputs.source import Source, Stamp
from sod_client._archives.inputs.stream import named
from sod_client._archives.run.gateways import Gateways
from sod_client._archives.run.images import rows_of
from sod_client._archives.run.settings import Detection, Server
from sod_client._archives.run.work import Outcome, outcome


@dataclass(frozen=True)
class Task:
    """One file.

    Attributes:
        path: its path or URL in the dataset.
        place: where the node reads it, unless `content` is given.
        stamp: its stamp.
        content: its content, of the member of a shard; None has the node read it.
    """

    path: str
    place: str
    stamp: Stamp
    content: bytes | None

    def source(self) -> Source:
        """The file."""
        content = self.content
        if content is None:
            return replace(named(self.place), path=self.path)
        return Source(self.path, lambda: self.stamp, lambda: content)


class Detector:
    """Detects files in threads; Ray makes an actor of it.

    Args:
        server: the servers, and the most requests of this actor to each.
        detection: how images are detected.

    Raises:
        SodError: a server does not respond.
    """

    def __init__(self, server: Server, detection: Detection) -> None:
        self._gateways = Gateways(server, detection)
        self._pool = ThreadPoolExecutor(2 * server.max_in_flight * len(self._gateways))

    def detect(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The outcome of each file.

        Raises:
            SodError: the servers do not respond, or refuse the API key.
        """
        return list(self._pool.map(self._detect, tasks))

    def _detect(self, task: Task) -> Outcome:
        return outcome(rows_of(task.source(), task.stamp, task.content, self._gateways))

"""What runs on a node: an actor that reads files and asks the servers."""

import math
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from sod_client._archives import packages
from sod_client._archives.dataset.schema import Constants
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
        server: the servers, and the most requests of this actor to each; without addresses it holds one itself.
        detection: how images are detected.
    """

    def __init__(self, server: Server, detection: Detection) -> None:
        self._arguments = (server, detection)
        self._gateways: Gateways | None = None

    def open(self) -> tuple[Constants, dict[str, Any]]:
        """Connect to the servers, or start one: what the rows have in common, and what they depend on.

        Raises:
            SodError: a server does not respond, or does not start.
        """
        server, detection = self._arguments
        self._gateways = gateways = open_gateways(server, detection)
        self._pool = ThreadPoolExecutor(2 * server.max_in_flight * len(gateways))
        return gateways.constants, gateways.described

    def detect(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The outcome of each file.

        Raises:
            SodError: the servers do not respond, refuse the API key, or have loaded other weights.
        """
        assert self._gateways is not None  # noqa: S101 - `open` was called
        outcomes = list(self._pool.map(self._detect, tasks))
        self._gateways.check_weights()
        return outcomes

    def close(self) -> None:
        """Close the connections, and end the server that it holds."""
        if self._gateways is not None:
            self._gateways.close()

    def _detect(self, task: Task) -> Outcome:
        assert self._gateways is not None  # noqa: S101 - `open` was called
        return outcome(rows_of(task.source(), task.stamp, task.content, self._gateways))


def open_gateways(server: Server, detection: Detection) -> Gateways:
    """The connections to the servers of an actor of Ray; without addresses to one that is started on its processors.

    Raises:
        SodError: a server does not respond, or does not start.
    """
    if not server.urls:
        os.environ.pop("SOD_URL", None)  # of the node, which the driver does not know
        _keep_to_given_cpus()
    return Gateways(server, detection)


def _keep_to_given_cpus() -> None:
    """Bind this thread, and the processes that it starts, to as many CPUs as Ray gave to the actor.

    Triton, OpenVINO and ONNX Runtime start a thread for each CPU to which they are bound. Ray counts CPUs and does not
    say which; where it gives a part of the machine, the place is drawn by chance, so that several actors of one machine
    do not all take the first ones.
    """
    given = math.ceil(packages.ray().get_runtime_context().get_assigned_resources().get("CPU", 0))
    cpus = sorted(os.sched_getaffinity(0))
    if 0 < given < len(cpus):
        first = random.randrange(len(cpus))  # noqa: S311 - not for security
        os.sched_setaffinity(0, {cpus[(first + position) % len(cpus)] for position in range(given)})

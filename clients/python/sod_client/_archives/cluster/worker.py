"""Gives the files of a stream to the actors on the nodes of a cluster."""

import re
import socket
import time
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from sod_client._archives import packages
from sod_client._archives.cluster.actor import Task
from sod_client._archives.cluster.nodes import ATTEMPTS, CALLS, Call, Node, Nodes
from sod_client._archives.dataset.schema import FAILED, Constants, Row, text
from sod_client._archives.inputs import stores
from sod_client._archives.inputs.source import Source
from sod_client._archives.run.images import failed
from sod_client._archives.run.settings import Detection, Server
from sod_client._archives.run.work import Outcome, Resume, outcome
from sod_client.errors import ConnectionFailedError, ServerBusyError, SodError

CHUNK = 16
"""Files of one call of an actor."""
_CONNECT_S = 5.0
_TCP = re.compile(r"(ray://)?\[?(?P<host>[^/\[\]]+)\]?:(?P<port>[0-9]{1,5})")


def connect(address: str) -> None:
    """Connect to a cluster: its address, or "auto" for the one that runs here, or else a new one on this machine.

    Raises:
        ConnectionFailedError: there is no cluster at the address.
        DependencyError: Ray is not installed.
    """
    ray = packages.ray()
    if ray.is_initialized():
        return
    # Ray itself tries for minutes, and prints that it does.
    if (match := _TCP.fullmatch(address)) is not None:
        try:
            socket.create_connection((match["host"], int(match["port"])), _CONNECT_S).close()
        except OSError as error:
            raise ConnectionFailedError(f"there is no Ray cluster at {address}: {stores.short(error)}") from error
    options = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address, **options)
    except ConnectionError as error:
        if address != "auto":
            raise ConnectionFailedError(f"there is no Ray cluster at {address}: {stores.short(error)}") from error
        ray.init(include_dashboard=False, **options)
    except (ValueError, RuntimeError) as error:
        raise ConnectionFailedError(f"there is no Ray cluster at {address}: {stores.short(error)}") from error


class RayDetectors:
    """The detectors on the nodes of the cluster to which this process is connected.

    Args:
        server: the servers, which every node reaches; without addresses each node holds one.
        detection: how images are detected.
        cpus: the most CPUs of a node for its server; None is all.

    Raises:
        SodError: no node can detect.
    """

    def __init__(self, server: Server, detection: Detection, cpus: int | None = None) -> None:
        self._nodes = Nodes(server, detection, cpus)
        try:
            self._nodes.wait()
        except BaseException:
            self._nodes.close()
            raise
        self.constants: Constants = self._nodes.constants
        self.described: dict[str, Any] = self._nodes.described

    def worker(self, resume: Resume) -> "RayWorker":
        """What does the files of a stream."""
        return RayWorker(self._nodes, resume)

    def check_weights(self) -> None:
        """The actors do it, with each call."""

    def close(self) -> None:
        """End the actors, and the servers that they hold."""
        self._nodes.close()


class RayWorker:
    """Detects files on nodes. What is in flight on an actor that dies is done again by another one.

    Args:
        nodes: that detect.
        resume: what is not done again.
    """

    def __init__(self, nodes: Nodes, resume: Resume) -> None:
        self._ray = packages.ray()
        self._resume = resume
        self._nodes = nodes
        self._stopped = False
        self._waiting: deque[Call] = deque()

    def stop(self) -> None:
        """List nothing more."""
        self._stopped = True

    def outcomes(self, sources: Iterator[Source]) -> Iterator[Outcome | None]:
        """The outcomes; None if there is none for a tenth of a second.

        Raises:
            SodError: the servers do not respond, or no node is left.
        """
        is_listed = False
        while True:
            self._nodes.update()
            while (node := self._free()) is not None:
                call = self._waiting.popleft() if self._waiting else None
                if call is None and not (is_listed or self._stopped):
                    tasks: list[Task] = []
                    is_listed = yield from self._next_tasks(sources, tasks)
                    call = Call(tasks) if tasks else None
                if call is None:
                    break
                call.attempts += 1
                node.calls[node.actor.detect.remote(call.tasks)] = call
            running = [reference for node in self._nodes.ready() for reference in node.calls]
            if not running and not self._waiting and (is_listed or self._stopped):
                return
            done: list[Any] = []
            if running:
                done, _ = self._ray.wait(running, timeout=0.1)
            else:
                time.sleep(0.1)
            for reference in done:
                yield from self._take(reference)
            if not done:
                yield None

    def _next_tasks(self, sources: Iterator[Source], tasks: list[Task]) -> Generator[Outcome, None, bool]:
        """Fill a call; the outcomes of files that are done already come at once. Returns whether all are listed."""
        while len(tasks) < CHUNK and not self._stopped:
            source = next(sources, None)
            if source is None:
                return True
            if not self._resume.index.claim(text(source.path)):
                continue
            planned = self._resume.plan(source)
            if isinstance(planned, Outcome):
                yield planned
                continue
            stamp, content = planned
            try:
                content = source.read() if source.is_member and content is None else content
            except SodError as error:
                yield outcome([failed(Row(text(source.path), None, stamp.size, stamp.version, None, FAILED), error)])
                continue
            place = source.path if source.local is None else str(Path(source.local).absolute())
            tasks.append(Task(source.path, place, stamp, content))
        return False

    def _take(self, reference: Any) -> Iterator[Outcome]:
        node = next(node for node in self._nodes.ready() if reference in node.calls)
        call = node.calls.pop(reference)
        try:
            yield from self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if self._nodes.holds_servers and isinstance(cause, ConnectionFailedError | ServerBusyError):
                self._lose(node, call, cause)  # only this node's server fails
            else:
                raise cause if isinstance(cause, SodError) else ConnectionFailedError(stores.short(error)) from error
        except self._ray.exceptions.RayError as error:  # the actor or its node died
            self._lose(node, call, error)

    def _lose(self, node: Node, call: Call, error: Exception) -> None:
        """Give the files of a node to the others.

        Raises:
            ConnectionFailedError: these files ended several actors.
        """
        lost = [call, *node.calls.values()]
        self._nodes.drop(node)
        for one in lost:
            if one.attempts >= ATTEMPTS:
                raise ConnectionFailedError(
                    f"{one.tasks[0].path} and the {len(one.tasks) - 1} files after it ended {ATTEMPTS} actors of "
                    f"the Ray cluster: {stores.short(error)}"
                ) from error
        self._waiting.extend(lost)

    def _free(self) -> Node | None:
        """The node with the fewest calls; None if all have enough."""
        node = min(self._nodes.ready(), key=lambda one: len(one.calls), default=None)
        return node if node is not None and len(node.calls) < CALLS else None

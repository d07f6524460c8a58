"""Gives the files of a stream to actors, one a node, and replaces those that die."""

import re
import socket
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sod_client._archives import packages
from sod_client._archives.cluster.actor import Detector, Task
from sod_client._archives.dataset.schema import FAILED, Row, text
from sod_client._archives.inputs import stores
from sod_client._archives.inputs.source import Source
from sod_client._archives.run.images import failed
from sod_client._archives.run.settings import Detection, Server
from sod_client._archives.run.work import Outcome, Resume, outcome
from sod_client.errors import ConnectionFailedError, SodError

CHUNK = 16
"""Files of one call of an actor."""
CALLS = 3
"""Calls in flight for each actor, so that it never waits for the next one."""
ATTEMPTS = 3
"""How often the files of a call are begun, if the actor or its node dies."""
_NODES_EVERY_S = 2.0
_NO_NODE_S = 60.0
_CONNECT_S = 5.0
_TCP = re.compile(r"(ray://)?\[?(?P<host>[^/\[\]]+)\]?:(?P<port>[0-9]{1,5})")


@dataclass
class _Call:
    tasks: list[Task]
    attempts: int = 0


@dataclass
class _Node:
    actor: Any
    calls: dict[Any, _Call] = field(default_factory=dict)


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


class RayWorker:
    """Detects files on the nodes of the cluster to which this process is connected.

    What is in flight on an actor that dies is done again by another one. Nodes that join get an actor.

    Args:
        server: the servers, which every node reaches.
        detection: how images are detected.
        resume: what is not done again.
    """

    def __init__(self, server: Server, detection: Detection, resume: Resume) -> None:
        self._ray = packages.ray()
        self._resume = resume
        self._arguments = (server, detection)
        self._stopped = False
        self._nodes: dict[str, _Node] = {}
        self._waiting: deque[_Call] = deque()
        self._looked_at = 0.0

    def stop(self) -> None:
        """List nothing more."""
        self._stopped = True

    def outcomes(self, sources: Iterator[Source]) -> Iterator[Outcome | None]:
        """The outcomes; None if there is none for a tenth of a second.

        Raises:
            SodError: the servers do not respond, or no node is left.
        """
        try:
            yield from self._outcomes(sources)
        finally:
            for node in self._nodes.values():
                self._ray.kill(node.actor)
            self._nodes.clear()

    def _outcomes(self, sources: Iterator[Source]) -> Iterator[Outcome | None]:
        is_listed, last_node = False, time.monotonic()
        while True:
            self._look_for_nodes()
            if self._nodes:
                last_node = time.monotonic()
            elif time.monotonic() - last_node > _NO_NODE_S:
                raise ConnectionFailedError(f"no node of the Ray cluster took an actor for {_NO_NODE_S:.0f} s")
            while (node := self._free()) is not None:
                call = self._waiting.popleft() if self._waiting else None
                if call is None and not (is_listed or self._stopped):
                    tasks: list[Task] = []
                    is_listed = yield from self._next_tasks(sources, tasks)
                    call = _Call(tasks) if tasks else None
                if call is None:
                    break
                call.attempts += 1
                node.calls[node.actor.detect.remote(call.tasks)] = call
            running = [reference for node in self._nodes.values() for reference in node.calls]
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
        node_id, node = next((name, node) for name, node in self._nodes.items() if reference in node.calls)
        call = node.calls.pop(reference)
        try:
            yield from self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, SodError) else ConnectionFailedError(stores.short(error)) from error
        except self._ray.exceptions.RayError as error:  # the actor or its node died
            lost = [call, *node.calls.values()]
            del self._nodes[node_id]
            self._looked_at = 0.0
            for one in lost:
                if one.attempts >= ATTEMPTS:
                    raise ConnectionFailedError(
                        f"{one.tasks[0].path} and the {len(one.tasks) - 1} files after it ended {ATTEMPTS} actors of "
                        f"the Ray cluster: {stores.short(error)}"
                    ) from error
            self._waiting.extend(lost)

    def _free(self) -> _Node | None:
        """The node with the fewest calls; None if all have enough."""
        node = min(self._nodes.values(), key=lambda one: len(one.calls), default=None)
        return node if node is not None and len(node.calls) < CALLS else None

    def _look_for_nodes(self) -> None:
        """Start an actor on each node with CPUs that has none."""
        now = time.monotonic()
        if now - self._looked_at < _NODES_EVERY_S:
            return
        self._looked_at = now
        strategies = packages.ray("ray.util.scheduling_strategies")
        for node in self._ray.nodes():
            name = node["NodeID"]
            if not node["Alive"] or name in self._nodes or not node["Resources"].get("CPU"):
                continue
            strategy = strategies.NodeAffinitySchedulingStrategy(name, soft=False)
            actor = self._ray.remote(Detector).options(
                num_cpus=1, max_restarts=0, max_concurrency=CALLS, scheduling_strategy=strategy
            )
            self._nodes[name] = _Node(actor.remote(*self._arguments))

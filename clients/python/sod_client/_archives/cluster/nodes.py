"""The actors of a Ray cluster, one a node: they are started, compared with one another, and replaced if they die."""

import json
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sod_client._archives import packages
from sod_client._archives.cluster.actor import Detector, Task
from sod_client._archives.inputs import stores
from sod_client._archives.run.settings import Detection, Server
from sod_client._local_server.device import parse_device
from sod_client.errors import ConnectionFailedError, InvalidConfigError, SodError, SodWarning

CALLS = 3
"""Calls in flight for each actor, so that it never waits for the next one."""
ATTEMPTS = 3
"""How often the files of a call are begun, and an actor is started on a node, if the actor dies."""
_NODES_EVERY_S = 2.0
_NO_NODE_S = 60.0
_STOP_S = 35.0  # a local server has 30 s


@dataclass
class Call:
    """Files that one call of an actor detects.

    Attributes:
        tasks: the files.
        attempts: how often they were begun.
    """

    tasks: list[Task]
    attempts: int = 0


@dataclass
class Node:
    """A node with its actor.

    Attributes:
        name: how sentences call it.
        actor: the actor.
        opened: what its `open` returns; None after it was taken.
        placed: what is there when the actor has its processors; None after that.
        calls: what it does, by the references of the results.
    """

    name: str
    actor: Any
    opened: Any
    placed: Any
    calls: dict[Any, Call] = field(default_factory=dict)


class Nodes:
    """The actors on the nodes of the cluster to which this process is connected.

    Without addresses of servers each actor starts a server on its node; it is given all CPUs of the node, and its GPUs
    unless another device is wanted.

    Args:
        server: the servers, which every node reaches; without addresses each node holds one.
        detection: how images are detected.
        cpus: the most CPUs of an actor that holds a server; None is all of the node.
    """

    def __init__(self, server: Server, detection: Detection, cpus: int | None = None) -> None:
        self.holds_servers = not server.urls
        self.described: dict[str, Any] = {}
        self.constants: Any = None
        self._ray = packages.ray()
        self._server, self._detection, self._cpus = server, detection, cpus
        self._nodes: dict[str, Node] = {}
        self._first = ""
        self._refused: dict[str, SodError] = {}
        self._unsaid: list[SodError] = []
        self._deaths: Counter[str] = Counter()
        self._looked_at = 0.0
        self._placed_at = time.monotonic()

    def wait(self) -> None:
        """Wait for the first actor whose servers are ready.

        Raises:
            SodError: no node can detect.
        """
        while not self.ready():
            self.update()
            time.sleep(0.05)

    def ready(self) -> list[Node]:
        """The nodes that detect."""
        return [node for node in self._nodes.values() if node.opened is None]

    def update(self) -> None:
        """Start an actor on each new node, and take note of those that are ready.

        Raises:
            SodError: no node can detect, or none took an actor for a minute.
        """
        self._look()
        pending = [reference for node in self._nodes.values() for reference in (node.placed, node.opened) if reference]
        done = set(self._ray.wait(pending, num_returns=len(pending), timeout=0)[0]) if pending else set()
        for name, node in list(self._nodes.items()):
            if node.placed in done:
                node.placed = None
            if node.opened in done:
                self._take(name, node)
        if any(node.placed is None for node in self._nodes.values()):
            self._placed_at = time.monotonic()
            return
        is_late = time.monotonic() - self._placed_at > _NO_NODE_S
        if self._refused and not self.described and (is_late or not self._nodes):
            raise next(iter(self._refused.values()))
        if is_late:
            raise ConnectionFailedError(
                f"no node of the Ray cluster took an actor{self._asked()} for {_NO_NODE_S:.0f} s: there is none, or "
                "what it asks for is in use (`ray status` shows it)"
            )

    def drop(self, node: Node) -> None:
        """Forget the actor of a node, which died; if the node lives, it gets another one."""
        self._nodes = {name: one for name, one in self._nodes.items() if one is not node}
        self._ray.kill(node.actor)
        self._looked_at = 0.0

    def close(self) -> None:
        """End the actors, and the servers that they hold."""
        nodes, self._nodes = list(self._nodes.values()), {}
        if self.holds_servers and (closing := [node.actor.close.remote() for node in nodes if node.opened is None]):
            self._ray.wait(closing, num_returns=len(closing), timeout=_STOP_S)
        for node in nodes:
            self._ray.kill(node.actor)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _NODES_EVERY_S:
            return
        self._looked_at = now
        strategies = packages.ray("ray.util.scheduling_strategies")
        for node in self._ray.nodes():
            key = node["NodeID"]
            resources = self._resources(node["Resources"])
            if not node["Alive"] or key in self._nodes or key in self._refused or resources is None:
                continue
            actor = (
                self._ray.remote(Detector)
                .options(
                    **resources,
                    max_restarts=0,
                    max_concurrency=CALLS + 1,  # `close` does not wait for what is in flight
                    scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(key, soft=False),
                )
                .remote(self._server, self._detection)
            )
            host, address = node["NodeManagerHostname"], node["NodeManagerAddress"]
            name = next((one for one in (node.get("NodeName"), host) if one != address), None)
            self._nodes[key] = Node(
                f"node {address}" if name is None else f"node {name} ({address})",
                actor,
                actor.open.remote(),
                actor.__ray_ready__.remote(),
            )

    def _resources(self, offered: dict[str, float]) -> dict[str, float] | None:
        """What an actor asks a node for; None if the node lacks it."""
        cpus, gpus = offered.get("CPU", 0), offered.get("GPU", 0)
        if not self.holds_servers:
            return {"num_cpus": 1} if cpus else None
        kind = None if self._server.device is None else parse_device(self._server.device)[0]
        if not cpus or (kind == "gpu" and not gpus):
            return None
        return {"num_cpus": min(cpus, self._cpus or cpus), "num_gpus": gpus if kind in {None, "gpu"} else 0}

    def _asked(self) -> str:
        if not self.holds_servers:
            return ""
        cpus = "all its CPUs" if self._cpus is None else f"{self._cpus} CPUs"
        return f" with {cpus}{' and its GPUs' if self._server.device == 'gpu' else ''}"

    def _take(self, key: str, node: Node) -> None:
        """Take note that an actor is ready, or cannot be."""
        try:
            constants, described = self._ray.get(node.opened)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            self._refuse(key, cause if isinstance(cause, SodError) else ConnectionFailedError(stores.short(cause)))
        except self._ray.exceptions.RayError as error:  # the actor or its node died
            self._deaths[key] += 1
            if self._deaths[key] < ATTEMPTS:
                self.drop(node)
            else:
                self._refuse(key, ConnectionFailedError(f"its actor died {ATTEMPTS} times: {stores.short(error)}"))
        else:
            if not self.described:
                self.described, self.constants, self._first = described, constants, node.name
            if unlike := _difference(self.described, described):
                what, first, own = unlike
                self._refuse(key, InvalidConfigError(f"it has the {what} {own}, and {self._first} has {first}"))
            else:
                node.opened = node.placed = None
                self._deaths.pop(key, None)
        if self.ready():
            self._warn()

    def _refuse(self, key: str, error: SodError) -> None:
        """Do without a node."""
        node = self._nodes.pop(key)
        error.input_path = node.name if error.input_path is None else f"{node.name}: {error.input_path}"
        self._refused[key] = error
        self._unsaid.append(error)
        self._ray.kill(node.actor)

    def _warn(self) -> None:
        """Say once of each node that was refused that the others go on without it."""
        for error in self._unsaid:
            warnings.warn(f"{error}; the others go on without it", SodWarning, stacklevel=2)
        self._unsaid.clear()


def _difference(first: dict[str, Any], other: dict[str, Any]) -> tuple[str, str, str] | None:
    """The name of a setting that differs, and its two values."""
    for key, value in first.items():
        if value != other.get(key):
            return key.replace("_", " "), _shown(value), _shown(other.get(key))
    return None


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"

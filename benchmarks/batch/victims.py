"""The processes that the section `kills` kills: of a server, and of a Ray cluster."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil

ACTOR = "ray::Detector"
"""How Ray names the process of the actor that detects."""


def gateway(launcher: int) -> psutil.Process | None:
    """The gateway of the server with this launcher."""
    return _first(launcher, lambda process: process.cmdline()[-2:] == ["-m", "gateway"])


def triton(launcher: int) -> psutil.Process | None:
    """The Triton of the server with this launcher."""
    return _first(launcher, lambda process: process.name() == "tritonserver")


def worker(cluster: int) -> psutil.Process | None:
    """A process of an actor on a cluster whose nodes are children of this process."""
    return _first(cluster, lambda process: process.cmdline()[:1] != [] and process.cmdline()[0].startswith(ACTOR))


def raylet(cluster: int) -> psutil.Process | None:
    """The raylet of a node with such an actor."""
    found = worker(cluster)
    with suppress(psutil.NoSuchProcess):
        return None if found is None else found.parent()
    return None


def _first(ancestor: int, is_it: Callable[[psutil.Process], bool]) -> psutil.Process | None:
    return next(_matching(ancestor, is_it), None)


def _matching(ancestor: int, is_it: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
    for process in psutil.Process(ancestor).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if is_it(process):
                yield process

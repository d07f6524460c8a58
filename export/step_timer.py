"""What each step of an export took: wall time, and memory held at most."""

import logging
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        name: as it was announced.
        seconds: wall time.
        peak_mib: what the process and the largest of its children have held at most up to the step's end, added up:
            never less than what they held at the same moment.
    """

    name: str
    seconds: float
    peak_mib: float


class Meter:
    """Announces steps and keeps what they took."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce and measure one step, also one that fails."""
        LOG.info("%s", name)
        start = time.monotonic()
        try:
            yield
        finally:
            self.steps.append(Step(name, time.monotonic() - start, peak_mib()))


def peak_mib() -> float:
    """See `Step.peak_mib`."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children) / 1024


def format_steps(steps: Sequence[Step]) -> str:
    """Steps and their total as one table."""
    lines = [f"{'step':<64}{'seconds':>9}{'peak, MiB':>11}"]
    lines += [f"  {step.name:<62}{step.seconds:>9.1f}{step.peak_mib:>11.0f}" for step in steps]
    total, peak = sum(step.seconds for step in steps), max((step.peak_mib for step in steps), default=0.0)
    return "\n".join([*lines, f"  {'in all':<62}{total:>9.1f}{peak:>11.0f}"])

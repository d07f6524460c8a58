"""Measures each step of an export: wall time and peak memory."""

import logging
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from export.tables import Table

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One measured step.

    Attributes:
        name: what the step does, as it was logged.
        seconds: wall time.
        peak_mib: peak memory up to the end of the step, see `peak_mib`.
    """

    name: str
    seconds: float
    peak_mib: float


class StepTimer:
    """Logs steps as they begin and records what they took."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Log and measure one step, also if it fails."""
        LOG.info("%s", name)
        start = time.monotonic()
        try:
            yield
        finally:
            self.steps.append(Step(name, time.monotonic() - start, peak_mib()))


def peak_mib() -> float:
    """Peak memory of this process plus that of its largest child, in MiB: an upper bound of what both held at once."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children) / 1024


def steps_table(steps: Sequence[Step]) -> Table:
    """The steps and their total."""
    rows = [[step.name, f"{step.seconds:.1f}", f"{step.peak_mib:.0f}"] for step in steps]
    seconds, peak = sum(step.seconds for step in steps), max((step.peak_mib for step in steps), default=0.0)
    return Table(["step", "seconds", "peak so far, MiB"], [*rows, ["total", f"{seconds:.1f}", f"{peak:.0f}"]])

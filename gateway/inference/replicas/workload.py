"""How many seconds of work a Triton has before it: the measure by which one of several is chosen."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from math import exp
from time import monotonic

# Least weight of the latest image in the mean duration, and the most by which one image may change it. The weight of
# the n-th image is 1/n at first, because the first one also pays for the connection.
_WEIGHT = 0.2
_MOST = 10.0
# An idle Triton that was slow is taken for as fast as the others again with this time constant, in seconds.
_FORGET_S = 3.0
# What is assumed of a model that no Triton has been asked for yet, in seconds.
_UNKNOWN_S = 0.1


@dataclass(slots=True)
class Job:
    """A request in a Triton: its model, when it was sent, and its expected duration in seconds."""

    model: str
    started: float
    expected: float
    measured: bool = False


class Workload:
    """The requests in one Triton, and how long an image of each model takes there.

    Requests count by their expected seconds and not by their number, since an image may take 0.1 s with one model and
    7 s with another. A Triton that answers nothing counts as busier the longer it does so.

    Attributes:
        finished_at: When the last request was answered, by `time.monotonic()`; at first, when this was created.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._measured: Counter[str] = Counter()
        self._jobs: dict[int, Job] = {}
        self._ids = count()
        self._ahead = 0.0
        self.finished_at = monotonic()

    def __len__(self) -> int:
        return len(self._jobs)

    @contextmanager
    def job(self, model: str) -> Iterator[Job]:
        """Count a request while the context lasts; set `Job.measured` when it has succeeded."""
        now, number = monotonic(), next(self._ids)
        cost = self.seconds(model) or _UNKNOWN_S
        job = Job(model, now, self._ahead + cost)
        ahead = len(self._jobs)
        self._jobs[number] = job
        self._ahead += cost
        try:
            yield job
            if job.measured:
                self.finished_at = monotonic()
                self._learn(job, self.finished_at - job.started, ahead)
        finally:
            del self._jobs[number]
            self._ahead = max(self._ahead - cost, 0.0) if self._jobs else 0.0

    def seconds(self, model: str) -> float | None:
        """Mean seconds that an image of this model adds to the work; None if none has been measured."""
        return self._seconds.get(model)

    def expected(self, model: str, best: float | None, now: float) -> float:
        """Seconds after which a request sent now would be answered.

        Args:
            model: Name of the ensemble.
            best: The `seconds` of the fastest Triton for this model; None if no Triton knows.
            now: `time.monotonic()`.
        """
        usual = best or _UNKNOWN_S
        own = self._seconds.get(model, usual)
        if own > usual and not self._jobs:
            own = usual + (own - usual) * exp((self.finished_at - now) / _FORGET_S)
        if not self._jobs:
            return own
        oldest = now - next(iter(self._jobs.values())).started
        return (self._ahead + own) * max(1.0, oldest / max(self._ahead, own))

    def _learn(self, job: Job, took: float, ahead: int) -> None:
        self._measured[job.model] += 1
        known = self._seconds.get(job.model)
        if known is None:
            self._seconds[job.model] = took / (ahead + 1)
            return
        ratio = min(max(took / job.expected, 1 / _MOST), _MOST)
        weight = max(_WEIGHT, 1 / self._measured[job.model])
        self._seconds[job.model] = known * (1 + weight * (ratio - 1))

"""Which frames of a source are used: a part of its time, every n-th, and no more than so many in a second."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sod_client._streams.sources.frame import Frame
from sod_client.errors import InvalidConfigError

_EARLY_S = 0.0005  # timestamps are rounded, in Matroska to milliseconds


@dataclass(frozen=True)
class Selection:
    """Options of `watch`.

    Attributes:
        start: seconds from the beginning that are left out.
        duration: seconds after `start` that are used; None is all.
        every: use every n-th frame, by its number.
        max_fps: the most frames for each second of the source; None is all.
    """

    start: float = 0.0
    duration: float | None = None
    every: int = 1
    max_fps: float | None = None

    def __post_init__(self) -> None:
        for name in ("start", "duration", "max_fps"):
            value = getattr(self, name)
            least = "from 0" if name == "start" else "above 0"
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise InvalidConfigError(f"{name} must be a number {least}, not {value!r}")
            if value == 0 and name != "start":
                raise InvalidConfigError(f"{name} must be a number {least}, not {value!r}")
        if type(self.every) is not int or self.every < 1:
            raise InvalidConfigError(f"every must be a whole number from 1, not {self.every!r}")

    def of(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Those of the frames that are used. Ends, without reading on, after the last of them."""
        end = math.inf if self.duration is None else self.start + self.duration
        due = -math.inf
        gap = 0.0
        for frame in frames:
            gap = max(gap, frame.gap)
            if frame.time >= end - _EARLY_S:
                return
            if frame.time < self.start - _EARLY_S or frame.index % self.every:
                continue
            if self.max_fps is not None:
                if frame.time < due - _EARLY_S:
                    continue
                period = 1 / self.max_fps
                due = frame.time + period if due + period <= frame.time else due + period
            yield replace(frame, gap=gap)
            gap = 0.0

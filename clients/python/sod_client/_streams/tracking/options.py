"""Options of the tracker. This module needs no numpy."""

from dataclasses import dataclass

from sod_client.errors import InvalidConfigError

MATCH_IOU = 0.2
EXPAND = 0.3
LOST_S = 1.5
LOW_SCORE = 0.1
"""Boxes below the threshold continue tracks from this score on."""


@dataclass(frozen=True)
class TrackOptions:
    """Options of the tracker.

    Attributes:
        match_iou: a box continues a track if the IoU of both is at least this, after they were expanded.
        expand: share of its width and height by which each box is expanded on every side before it is compared.
        lost_s: seconds for which an object that is not seen keeps its id.
    """

    match_iou: float = MATCH_IOU
    expand: float = EXPAND
    lost_s: float = LOST_S

    def __post_init__(self) -> None:
        for name, most in (("match_iou", 1.0), ("expand", 5.0), ("lost_s", 3600.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise InvalidConfigError(f"{name} must be a number from 0 to {most:g}, not {value!r}")

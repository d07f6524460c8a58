"""The objects of one source's frames: above the threshold, and with track ids."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sod_client._streams.result import FrameResult
from sod_client._streams.tracking.options import LOW_SCORE, TrackOptions

if TYPE_CHECKING:
    from sod_client._streams.tracking.byte_track import ByteTrack

_PEOPLE = frozenset({"pedestrian", "people", "person"})
_MODEL_DEFAULT = 0.5  # without a threshold; a tracker must know what counts as a high score


class Objects:
    """Chooses the objects that are shown and, with a tracker, gives them ids.

    Args:
        threshold: the score that an object must exceed, by class id or for all; None is the model's default.
        track: options of the tracker; None tracks nothing.

    Attributes:
        requested_threshold: what the server is asked for. With a tracker it is lower, because objects with low scores
            continue tracks.
    """

    def __init__(self, threshold: float | Mapping[int, float] | None, track: TrackOptions | None) -> None:
        self._threshold = threshold
        self._tracker = None if track is None else _tracker(track)
        self._labels: dict[int, str] = {}
        self.requested_threshold: float | dict[int, float] | None
        if self._tracker is None:
            self.requested_threshold = dict(threshold) if isinstance(threshold, Mapping) else threshold
        else:
            given = list(threshold.values()) if isinstance(threshold, Mapping) else [threshold]
            self.requested_threshold = min([LOW_SCORE, *(one for one in given if one is not None)])

    def update(self, result: FrameResult) -> None:
        """Replace the boxes of a result by those that are shown, in its order, with `track_id` and `age`."""
        if self._tracker is None:
            return
        import numpy as np  # noqa: PLC0415 - only a tracker needs it

        boxes = result.boxes
        tracks = self._tracker.update(
            np.array([box["coordinate"] for box in boxes], np.float64).reshape(-1, 4),
            np.array([box["score"] for box in boxes], np.float64),
            np.array([box["cls_id"] for box in boxes], np.int64),
            np.array([box["score"] > self._least(box["cls_id"]) for box in boxes], np.bool_),
            np.array([box["label"] in _PEOPLE for box in boxes], np.bool_),
            result.time,
        )
        shown = []
        for box, track in zip(boxes, tracks, strict=True):
            self._labels.setdefault(box["cls_id"], box["label"])
            if track is not None:
                class_id = track.class_id
                label = self._labels.get(class_id, box["label"])
                track_id = track.track_id or None
                age = round(result.time - track.first, 3)
                shown.append({**box, "cls_id": class_id, "label": label, "track_id": track_id, "age": age})
        result["boxes"] = shown

    def _least(self, class_id: int) -> float:
        if isinstance(self._threshold, Mapping):
            return self._threshold.get(class_id, _MODEL_DEFAULT)
        return _MODEL_DEFAULT if self._threshold is None else self._threshold


def _tracker(options: TrackOptions) -> "ByteTrack":
    from sod_client._streams.tracking.byte_track import ByteTrack  # noqa: PLC0415 - it needs numpy

    return ByteTrack(options)

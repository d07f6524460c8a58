"""ByteTrack: every detected box is associated, first those with high scores and then the others.

Source: Zhang et al., ByteTrack: Multi-Object Tracking by Associating Every Detection Box, ECCV 2022. Boxes are expanded
before they are compared (Yang et al., Hard to Track Objects with Irregular Motions and Similar Appearances? Make It
Easier by Buffering the Matching Space, WACV 2023), because two boxes of an object of ten pixels often do not overlap.

One thing is added: a box within another one of about its size begins no track. Detectors draw one around a truck and
one around its cab, whose IoU is too small for NMS, and both would be counted.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sod_client._streams.tracking.assignment import assign
from sod_client._streams.tracking.motion import Floats, Motion
from sod_client._streams.tracking.options import TrackOptions

_SECOND_IOU = 0.4
_SAME_IOU = 0.85
_STEPS_PER_S = 25.0
_FEWEST = 2  # frames in which an object must be seen before it gets an id
_WITHIN = 0.7  # share of the smaller of two boxes of one object that lies in the larger
_LEAST_PART = 0.2  # of the larger one's area; smaller ones are other objects, such as a motorcycle before a bus


@dataclass
class Track:
    """One object.

    Attributes:
        first: time at which it was first seen, in seconds.
        last: time at which it was last seen.
        track_id: its number, from 1; 0 until it was seen twice.
        seen: frames in which it was seen.
        votes: the sum of its scores by class.
    """

    first: float
    last: float
    track_id: int = 0
    seen: int = 1
    votes: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def class_id(self) -> int:
        """The class with the largest sum of scores."""
        return max(self.votes, key=lambda one: self.votes[one])


class ByteTrack:
    """Tracks the objects of one source."""

    def __init__(self, options: TrackOptions) -> None:
        self._options = options
        self._tracks: list[Track] = []
        self._motion = Motion.of(np.zeros((0, 4)))
        self._time: float | None = None
        self._next_id = 1

    def update(  # noqa: PLR0913, PLR0917 - the boxes of a frame
        self,
        boxes: Floats,
        scores: Floats,
        class_ids: NDArray[np.int64],
        is_high: NDArray[np.bool_],
        is_single: NDArray[np.bool_],
        time: float,
    ) -> list[Track | None]:
        """Take in the boxes of the next frame.

        Args:
            boxes: float64 [N, 4], x1, y1, x2, y2 in pixels.
            scores: float64 [N].
            class_ids: int64 [N]. Boxes of different classes are compared too; a track's class is decided by vote.
            is_high: bool [N], whether the score is above the threshold. The others only continue tracks.
            is_single: bool [N], whether the box is an object of its own even within another one. People are: they stand
                before one another.
            time: seconds, larger than that of the frame before.

        Returns:
            The track of each box, N of them; None for a low box that continues no track.
        """
        options = self._options
        is_first = self._time is None
        if self._time is not None:
            self._motion.predict(max(time - self._time, 1e-3) * _STEPS_PER_S)
        previous, self._time = self._time, time
        tracks = self._tracks
        found: list[Track | None] = [None] * len(boxes)
        similarity = overlap(_expanded(self._motion.boxes(), options.expand), _expanded(boxes, options.expand))
        is_confirmed = np.array([track.track_id > 0 for track in tracks], np.bool_)
        is_present = np.array([track.last == previous for track in tracks], np.bool_)
        free_tracks, free_boxes = np.ones(len(tracks), np.bool_), np.ones(len(boxes), np.bool_)

        def associate(which: NDArray[np.bool_], candidates: NDArray[np.bool_], least: float, score: bool) -> None:
            rows, columns = np.flatnonzero(which & free_tracks), np.flatnonzero(candidates & free_boxes)
            if not len(rows) or not len(columns):
                return
            part = similarity[np.ix_(rows, columns)]
            if score:  # of two boxes that overlap a track alike, the one with the better score
                part = part * (0.5 + 0.5 * scores[columns])
            matched, taken = assign(part, least)
            rows, columns = rows[matched], columns[taken]
            free_tracks[rows], free_boxes[columns] = False, False
            self._motion.update(rows, boxes[columns])
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                track = tracks[row]
                track.last, track.seen = time, track.seen + 1
                track.votes[int(class_ids[column])] += float(scores[column])
                found[column] = track
                if not track.track_id and track.seen >= _FEWEST:
                    self._confirm(track)

        associate(is_confirmed, is_high, options.match_iou, score=True)
        associate(is_confirmed & is_present, ~is_high, max(_SECOND_IOU, options.match_iou), score=False)
        associate(~is_confirmed, is_high, options.match_iou, score=True)
        new = np.flatnonzero(is_high & free_boxes)
        if not is_single[new].all():
            tracked = self._motion.boxes()[[track.track_id > 0 for track in tracks]]
            new = new[is_single[new] | _is_only(boxes[new], scores[new], tracked)]
        self._add(new, boxes, scores, class_ids, found, confirm=is_first)
        self._remove_old()
        return found

    def _confirm(self, track: Track) -> None:
        track.track_id = self._next_id
        self._next_id += 1

    def _add(  # noqa: PLR0913, PLR0917 - the boxes of a frame
        self,
        which: NDArray[np.intp],
        boxes: Floats,
        scores: Floats,
        class_ids: NDArray[np.int64],
        found: list[Track | None],
        confirm: bool,
    ) -> None:
        """Begin a track for each of these boxes. Those of the first frame get ids at once."""
        assert self._time is not None  # noqa: S101 - set by update
        for index in which.tolist():
            track = Track(self._time, self._time)
            track.votes[int(class_ids[index])] += float(scores[index])
            if confirm:
                self._confirm(track)
            self._tracks.append(track)
            found[index] = track
        self._motion = self._motion.with_(Motion.of(boxes[which]))

    def _remove_old(self) -> None:
        """Remove tracks that were lost too long ago, or only seen once, or lost and now tracked under another id."""
        tracks, now = self._tracks, self._time
        assert now is not None  # noqa: S101 - set by update
        is_present = np.array([track.last == now for track in tracks], np.bool_)
        stays = np.array(
            [
                track.last == now or (track.track_id > 0 and now - track.last <= self._options.lost_s)
                for track in tracks
            ],
            np.bool_,
        )
        lost = np.flatnonzero(stays & ~is_present)
        if len(lost):
            boxes = self._motion.boxes()
            present = np.flatnonzero(is_present)
            for row, column in np.argwhere(overlap(boxes[lost], boxes[present]) > _SAME_IOU).tolist():
                if tracks[present[column]].track_id:
                    stays[lost[row]] = False
        self._motion = self._motion.take(stays)
        self._tracks = [track for track, stay in zip(tracks, stays.tolist(), strict=True) if stay]
        self._motion.stop_growing(np.array([track.last != now for track in self._tracks], np.bool_))


def overlap(one: Floats, other: Floats) -> Floats:
    """IoU of every box [R, 4] with every other [C, 4]; float64 [R, C]."""
    shared, areas, others = _areas(one, other)
    union = areas + others - shared
    result: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result


def _is_only(boxes: Floats, scores: Floats, tracked: Floats) -> NDArray[np.bool_]:
    """Whether each box [N, 4] is the only one of its object, bool [N]: among tracked ones [T, 4] and better ones."""
    is_only: NDArray[np.bool_] = ~_within(boxes, tracked).any(axis=1)
    within = _within(boxes, boxes)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if is_only[index]:
            is_only[index] = not within[index, kept].any()
            kept.append(index)
    return is_only


def _within(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """Whether one of two boxes ([R, 4] and [C, 4]) lies within the other, and is a considerable part of it; [R, C]."""
    shared, areas, others = _areas(one, other)
    smaller = np.minimum(areas, others)
    result: NDArray[np.bool_] = (shared > _WITHIN * smaller) & (smaller > _LEAST_PART * np.maximum(areas, others))
    return result


def _areas(one: Floats, other: Floats) -> tuple[Floats, Floats, Floats]:
    """The area that boxes [R, 4] share with others [C, 4], [R, C]; and the areas of both, [R, 1] and [1, C]."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas, others = (np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (one, other))
    return shared, areas[:, None], others[None, :]


def _expanded(boxes: Floats, share: float) -> Floats:
    grow = (boxes[:, 2:] - boxes[:, :2]) * share
    return np.concatenate([boxes[:, :2] - grow, boxes[:, 2:] + grow], axis=1)

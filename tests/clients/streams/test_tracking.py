"""The tracker on made streets, beside supervision's ByteTrack; and its parts."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sod_client._streams.counting import shapes
from sod_client._streams.counting.lines import LineCounter
from sod_client._streams.tracking.assignment import assign
from sod_client._streams.tracking.byte_track import ByteTrack
from sod_client._streams.tracking.options import TrackOptions

from benchmarks.watch.metrics import Frames, hota, mota
from benchmarks.watch.street import LINE, RATE, Film, film

# supervision 0.27's ByteTrack on the same boxes: track_activation_threshold 0.5, lost_track_buffer 38 frames of 25 in a
# second divided by the step. Later versions of supervision have none. Seed 0, 12 s: (HOTA, MOTA) by step.
ORACLE = {1: (0.7192, 0.8714), 5: (0.2443, 0.1099)}


def track(made: Film, step: int = 1) -> list[tuple[np.ndarray, np.ndarray, list[int]]]:
    """Ids, boxes and classes of each frame that is used."""
    tracker, found = ByteTrack(TrackOptions()), []
    for frame, (boxes, scores, class_ids) in list(enumerate(made.seen))[::step]:
        tracks = tracker.update(boxes, scores, class_ids, scores > 0.5, np.zeros(len(boxes), bool), frame / RATE)
        used = [k for k, one in enumerate(tracks) if one is not None and one.track_id]
        ids = np.array([tracks[k].track_id for k in used], int)
        found.append((ids, boxes[used].reshape(-1, 4), [tracks[k].class_id for k in used]))
    return found


@pytest.mark.parametrize("step", [1, 5])
def test_not_worse_than_the_oracle(step: int) -> None:
    made = film(12, seed=0)
    truth: Frames = [(ids, boxes) for ids, boxes, _ in made.truth][::step]
    found: Frames = [(ids, boxes) for ids, boxes, _ in track(made, step)]
    assert hota(truth, found) >= ORACLE[step][0]
    assert mota(truth, found)[0] >= ORACLE[step][1]


@pytest.mark.parametrize("step", [1, 3])
def test_counts_are_exact_with_missed_and_shaking_boxes(step: int) -> None:
    """10 % of the boxes are missed, 10 % have a low score, the others shake; vehicles drive behind a tree."""
    for seed in range(3):
        made = film(14, seed=seed)
        counter = LineCounter(shapes.lines(LINE)[0])
        for ids, boxes, classes in track(made, step):
            for one, box, class_id in zip(ids.tolist(), boxes.tolist(), classes, strict=True):
                counter.update(one, str(class_id), box)
        exact = {(direction, str(class_id)): count for (class_id, direction), count in made.crossings(14).items()}
        assert dict(counter.counts) == exact, seed


def test_the_same_film_for_the_same_seed() -> None:
    one, same, other = film(2, seed=4), film(2, seed=4), film(2, seed=5)
    assert all((a[0] == b[0]).all() for a, b in zip(one.seen, same.seen, strict=True))
    assert [len(frame[0]) for frame in one.seen] != [len(frame[0]) for frame in other.seen]


def test_the_assignment_is_the_best_one() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        similarity = random.random(random.integers(1, 20, 2))
        similarity[random.random(similarity.shape) < 0.6] = 0
        best = np.where(similarity >= 0.2, 1 - similarity, 0.8 + 1e-4)
        rows, columns = linear_sum_assignment(best)
        wanted = best[rows, columns].sum()
        mine_r, mine_c = assign(similarity, 0.2)
        unassigned = min(similarity.shape) - len(mine_r)
        assert best[mine_r, mine_c].sum() + unassigned * (0.8 + 1e-4) == pytest.approx(wanted)
        assert len(set(mine_r.tolist())) == len(set(mine_c.tolist())) == len(mine_r)


def test_a_hidden_object_keeps_its_id_and_a_new_one_gets_another() -> None:
    tracker = ByteTrack(TrackOptions(lost_s=1.0))

    def see(x: float | None, time: float, score: float = 0.9) -> int | None:
        boxes = np.zeros((0, 4)) if x is None else np.array([[x, 50, x + 10, 60]], float)
        count = len(boxes)
        scores = np.full(count, score)
        tracks = tracker.update(boxes, scores, np.zeros(count, int), scores > 0.5, np.ones(count, bool), time)
        return tracks[0].track_id if tracks and tracks[0] is not None else None

    ids = [see(3.0 * k, k / 25) for k in range(10)]
    assert set(ids) == {1}
    assert see(30.0, 10 / 25, score=0.2) == 1  # a low score continues the track
    assert [see(None, k / 25) for k in range(11, 25)] == [None] * 14
    assert see(75.0, 25 / 25) == 1  # where its velocity has brought it
    assert see(400.0, 26 / 25, score=0.2) is None  # a low score begins none
    assert [see(400.0, k / 25) for k in (27, 28)] == [0, 2]
    assert [see(None, k / 25) for k in range(29, 80)] == [None] * 51
    assert [see(400.0, k / 25) for k in (80, 81)] == [0, 3]


TRUCK, CAB = (100.0, 50.0, 160.0, 80.0), (140.0, 50.0, 160.0, 80.0)


@pytest.mark.parametrize(
    ("frames", "is_single", "count"),
    [
        ([[TRUCK, CAB]] * 4, False, 1),  # at once
        ([[TRUCK], [TRUCK], [TRUCK, CAB], [TRUCK, CAB], [CAB], [TRUCK, CAB]], False, 1),
        ([[CAB], [CAB], [TRUCK, CAB], [TRUCK, CAB]], False, 1),  # the whole comes later
        ([[TRUCK, CAB]] * 4, True, 2),  # people before one another
        ([[TRUCK, (140.0, 50.0, 180.0, 80.0)]] * 4, False, 2),  # a half of it is outside
        ([[TRUCK, (150.0, 70.0, 160.0, 80.0)]] * 4, False, 2),  # too small for a part
    ],
)
def test_a_part_of_an_object_is_not_counted(
    frames: list[list[tuple[float, ...]]], *, is_single: bool, count: int
) -> None:
    tracker, ids = ByteTrack(TrackOptions()), set()
    for number, boxes in enumerate(frames):
        scores = np.linspace(0.9, 0.8, len(boxes))
        single = np.full(len(boxes), is_single)
        classes = np.arange(len(boxes))
        for one in tracker.update(np.array(boxes), scores, classes, scores > 0.5, single, number / 25):
            if one is not None and one.track_id:
                ids.add(one.track_id)
    assert len(ids) == count


def test_the_class_is_decided_by_vote() -> None:
    tracker = ByteTrack(TrackOptions())
    box = np.array([[10.0, 10.0, 20.0, 20.0]])
    classes = []
    for frame, class_id in enumerate([3, 4, 3, 3, 4, 3]):
        found = tracker.update(
            box, np.array([0.8]), np.array([class_id]), np.array([True]), np.array([False]), frame / 25
        )
        assert found[0] is not None
        classes.append(found[0].class_id)
    assert classes == [3] * 6

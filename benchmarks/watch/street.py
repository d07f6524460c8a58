"""A made street seen from above: exact boxes, ids and crossings, with occlusions; a seed gives the same film."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE = 640, 360, 25
LINE = (320.0, 0.0, 320.0, 360.0)
"""Crossed by every vehicle: from its left, which is x > 320 seen from the first point, to its right or back."""
_TREE = (420.0, 470.0)  # vehicles between these x are hidden
_LANES = ((100, 1, 14), (130, 1, 14), (200, -1, 14), (230, -1, 22))
_PAVEMENT = (300, 330)


@dataclass(frozen=True)
class Mover:
    """One object that moves along x with a constant velocity, and sways a little."""

    number: int
    class_id: int
    begins: float
    x: float
    y: float
    speed: float
    size: tuple[float, float]

    def centre(self, time: float) -> tuple[float, float]:
        """Where its centre is, in pixels."""
        moved = self.speed * (time - self.begins)
        return self.x + moved, self.y + 1.5 * np.sin(moved / 30)


@dataclass
class Film:
    """The truth, and what a detector would see of it.

    Attributes:
        truth: for each frame ids [N], boxes [N, 4] and class ids [N] of what is visible.
        seen: for each frame boxes [M, 4], scores [M] and class ids [M].
        movers: all objects.
    """

    truth: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]] = field(default_factory=list)
    seen: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]] = field(default_factory=list)
    movers: list[Mover] = field(default_factory=list)

    def crossings(self, seconds: float) -> dict[tuple[int, str], int]:
        """The exact number of objects that passed `LINE`, by class id and direction."""
        counts: dict[tuple[int, str], int] = {}
        for mover in self.movers:
            before, after = mover.centre(max(0.0, mover.begins))[0], mover.centre(seconds - 1 / RATE)[0]
            if mover.begins < seconds and (before < LINE[0]) != (after < LINE[0]):
                direction = "in" if mover.speed < 0 else "out"
                counts[mover.class_id, direction] = counts.get((mover.class_id, direction), 0) + 1
        return counts


def film(seconds: float = 30.0, seed: int = 0, *, drop: float = 0.1, jitter: float = 0.7, false: float = 0.3) -> Film:
    """Make the film.

    Args:
        seconds: its length at `RATE` frames in a second.
        seed: of the random numbers.
        drop: share of visible objects that the detector misses in a frame; as many get a low score.
        jitter: standard deviation of each side of a seen box, in pixels.
        false: false boxes for each frame, on average.
    """
    random = np.random.default_rng(seed)
    made = Film()
    for y, direction, size in _LANES:
        begins = -8.0
        while begins < seconds:
            start = -20.0 if direction > 0 else WIDTH + 20.0
            speed = direction * (75.0 if y != 130 else 110.0)
            made.movers.append(Mover(len(made.movers) + 1, 3, begins, start, y, speed, (size * 1.8, size)))
            begins += random.uniform(0.9, 2.5)
    for y in _PAVEMENT:
        for begins in np.arange(-20.0, seconds, 1.7):
            direction = 1 if random.random() < 0.5 else -1
            start = -20.0 if direction > 0 else WIDTH + 20.0
            place = y + random.uniform(-8, 8)
            begin = begins + random.uniform(0, 1)
            speed = direction * random.uniform(18, 35)
            made.movers.append(Mover(len(made.movers) + 1, 0, begin, start, place, speed, (7, 10)))
    # What is on the line when the film begins or ends has neither crossed it nor not.
    made.movers = [
        mover for mover in made.movers if all(abs(mover.centre(time)[0] - LINE[0]) > 60 for time in (0.0, seconds))
    ]
    for frame in range(round(seconds * RATE)):
        _add_frame(made, frame / RATE, random, drop=drop, jitter=jitter, false=false)
    return made


def _add_frame(  # noqa: PLR0913 - the errors of a detector, by name
    made: Film, time: float, random: np.random.Generator, *, drop: float, jitter: float, false: float
) -> None:
    ids, boxes, classes = [], [], []
    for mover in made.movers:
        x, y = mover.centre(time)
        is_hidden = mover.class_id == 3 and _TREE[0] < x < _TREE[1] and y < 150
        if time < mover.begins or not 0 < x < WIDTH or is_hidden:
            continue
        width, height = mover.size
        ids.append(mover.number)
        classes.append(mover.class_id)
        boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    truth = np.array(boxes, float).reshape(-1, 4)
    kinds = np.array(classes, int)
    made.truth.append((np.array(ids, int), truth, kinds))
    chance = random.random(len(truth))
    is_seen = chance >= drop
    seen = truth[is_seen] + random.normal(0, jitter, (int(is_seen.sum()), 4))
    scores = np.where(
        chance[is_seen] < 2 * drop, random.uniform(0.15, 0.45, len(seen)), random.uniform(0.55, 0.95, len(seen))
    )
    count = random.poisson(false)
    corner = random.uniform((0, 0), (WIDTH - 20, HEIGHT - 20), (count, 2))
    wrong = np.concatenate([corner, corner + random.uniform(8, 20, (count, 2))], axis=1)
    made.seen.append(
        (
            np.concatenate([seen, wrong]),
            np.concatenate([scores, random.uniform(0.2, 0.6, count)]),
            np.concatenate([kinds[is_seen], random.integers(0, 5, count)]),
        )
    )

"""A street in motion from a fixed camera, drawn by the renderer of training scenes; with exact ids and crossings."""

import json
import math
import sys
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from finetune.data.sources import CLASSES
from finetune.scenes.camera import Camera
from finetune.scenes.ground import Canvas, paint, shade
from finetune.scenes.layout import Layout, Road, Tree
from finetune.scenes.objects import MAKERS
from finetune.scenes.render import SceneRenderer
from finetune.scenes.solids import SceneObject, Solid, placed

WIDTH, HEIGHT, RATE = 1360, 764, 25
_LANES = 2  # in each direction
_LANE_M = 3.4
_ACROSS_M = 80.0  # of the ground at the image's centre: a car is about 75 pixels long
_PITCH = math.radians(52)
_VIEW = math.radians(50)
_REACH_M = 70.0
_NEAR_LINE_M = 8.0  # objects so near to the line when the film begins or ends are left out
_KINDS = ("car", "van", "truck", "bus", "motorcycle")
_SHARES = (0.62, 0.14, 0.1, 0.05, 0.09)
_SUN = np.array([0.35, -0.4, 0.85])


@dataclass(frozen=True)
class Mover:
    """One object, which moves along the road with a constant velocity.

    Attributes:
        number: its id, from 1.
        name: of its class.
        solids: at the origin, facing north.
        across: its distance from the road's centre line, m.
        start: where it is along the road at time 0, m; the line is at 0.
        speed: m/s, negative in the other direction.
    """

    number: int
    name: str
    solids: tuple[Solid, ...]
    across: float
    start: float
    speed: float

    def along(self, time: float) -> float:
        """Its place along the road, m."""
        return self.start + self.speed * time

    def at(self, time: float) -> SceneObject:
        """The object in its place, which faces where it moves."""
        heading = 0.0 if self.speed > 0 else math.pi
        return SceneObject(placed(list(self.solids), self.across, self.along(time), heading), self.name)


@dataclass(frozen=True)
class Film:
    """A video, and what is in it.

    Attributes:
        path: of the video.
        ids: int64 [N] of each frame, of the objects that are visible by at least 35 %.
        boxes: float64 [N, 4] of each frame, whole objects.
        class_ids: int64 [N] of each frame.
        line: its two points, in pixels.
        crossings: by class name and direction.
    """

    path: Path
    ids: list[NDArray[np.int64]]
    boxes: list[NDArray[np.float64]]
    class_ids: list[NDArray[np.int64]]
    line: tuple[float, float, float, float]
    crossings: dict[str, dict[str, int]]


def film(folder: Path, seconds: float, seed: int = 0) -> Film:
    """The film of a seed; it is drawn if the folder does not have it.

    Args:
        folder: for the video and its truth.
        seconds: its length.
        seed: of all random choices.
    """
    name = f"street-{seed}-{seconds:g}s"
    path, truth = folder / f"{name}.mp4", folder / f"{name}.json"
    if not truth.exists():
        document = _draw(path, seconds, seed)
        truth.write_text(json.dumps(document), encoding="utf-8")
    document = json.loads(truth.read_text(encoding="utf-8"))
    frames = document["frames"]
    return Film(
        path,
        [np.array([row[0] for row in frame], np.int64) for frame in frames],
        [np.array([row[2:] for row in frame], np.float64).reshape(-1, 4) for frame in frames],
        [np.array([row[1] for row in frame], np.int64) for frame in frames],
        (document["line"][0], document["line"][1], document["line"][2], document["line"][3]),
        document["crossings"],
    )


def movers(seconds: float, seed: int) -> list[Mover]:
    """The traffic and the pedestrians of a film.

    Args:
        seconds: its length.
        seed: of all random choices.
    """
    random = np.random.default_rng((20251128, seed))
    made: list[Mover] = []

    def add(name: str, across: float, start: float, speed: float) -> None:
        ends = start, start + speed * seconds
        if all(abs(end) > _NEAR_LINE_M for end in ends):
            made.append(Mover(len(made) + 1, name, tuple(MAKERS[name](random)), across, start, speed))

    for lane in range(-_LANES, _LANES):
        direction = 1 if lane >= 0 else -1
        speed = direction * float(random.uniform(8, 13))
        behind = -_REACH_M - abs(speed) * seconds
        place = _REACH_M
        while place > behind:
            name = str(random.choice(_KINDS, p=_SHARES))
            add(name, (lane + 0.5) * _LANE_M, direction * place, speed)
            place -= 10.0 + float(random.exponential(14.0))
    for side in (-1, 1):
        place = -_REACH_M - 2.0 * seconds
        while place < _REACH_M:
            direction = 1 if random.random() < 0.5 else -1
            across = side * (_LANES * _LANE_M + 2.5 + float(random.uniform(0, 2)))
            add("pedestrian", across, direction * place, direction * float(random.uniform(1, 1.8)))
            place += 3.0 + float(random.exponential(6.0))
    return made


def camera_of_film() -> tuple[Camera, list[float]]:
    """The camera, and the two points of the line, which is across the road and its pavements, in pixels."""
    focal = WIDTH / 2 / math.tan(_VIEW / 2)
    distance = _ACROSS_M / 2 / math.tan(_VIEW / 2)
    camera = Camera(distance * math.sin(_PITCH), _PITCH, math.pi / 2 + 0.12, focal, WIDTH, HEIGHT)
    half = _LANES * _LANE_M + 8.0
    points, _ = camera.project(np.array([[half, 0.0, 0.0], [-half, 0.0, 0.0]]))
    return camera, [round(float(value), 1) for value in points.reshape(-1)]


def _draw(path: Path, seconds: float, seed: int) -> dict[str, Any]:
    camera, line = camera_of_film()
    random = np.random.default_rng((20251129, seed))
    layout = Layout([Road(0.0, 0.0, 0.0, _LANES)])
    side = -(_LANES * _LANE_M + 1.4)  # between the camera and the road
    layout.trees += [Tree(side, float(y) + 9, 2.2, 3.6, 1.2) for y in np.arange(-60, 60, 24)]
    layout.trees += [Tree(22.0 + float(random.uniform(0, 9)), float(y), 2.6, 3.8, 1.1) for y in np.arange(-60, 60, 9)]
    canvas = paint(layout, _REACH_M * 1.6, 2200, random)
    shade(canvas, layout, _SUN / np.linalg.norm(_SUN), 0.25)
    traffic = movers(seconds, seed)
    frames: list[list[list[float]]] = []
    noise = np.random.default_rng(seed)
    count = round(seconds * RATE)
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(count):
            pixels, rows = _frame(camera, layout, canvas, traffic, number / RATE)
            frames.append(rows)
            shot = av.VideoFrame.from_ndarray(_photographed(pixels, noise), format="rgb24")
            shot.pts, shot.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(shot))
            if number % RATE == 0:
                print(f"film: {number} of {count} frames drawn", file=sys.stderr, flush=True)
        output.mux(stream.encode(None))
    part.replace(path)
    return {"frames": frames, "line": line, "crossings": crossings(camera, traffic, line, seconds)}


def _frame(
    camera: Camera, layout: Layout, canvas: Canvas, traffic: list[Mover], time: float
) -> tuple[NDArray[np.float32], list[list[float]]]:
    """The frame, float32 [H, W, 3], and for each visible object id, class id and box."""
    there = [mover for mover in traffic if abs(mover.along(time)) < _REACH_M]
    objects = [mover.at(time) for mover in there]
    # The same random numbers for every frame, so that the leaves of the trees stand still.
    renderer = SceneRenderer(camera, _SUN / np.linalg.norm(_SUN), 0.6, False, np.random.default_rng(1))
    renderer.draw_ground(canvas)
    renderer.draw(Layout(layout.roads, objects, [], layout.trees))
    boxes, _, _ = renderer.labels()
    rows = []
    for mover, drawn in zip(there, objects, strict=True):
        points, depth = camera.project(np.concatenate([solid.corners for solid in drawn.solids]))
        if depth.min() < 1:
            continue
        own = np.concatenate([points.min(0), points.max(0)]).clip(0, (WIDTH, HEIGHT, WIDTH, HEIGHT))
        if len(boxes) and float(np.abs(boxes - own).max(axis=1).min()) < 0.5:  # labelled: visible enough
            rows.append([float(mover.number), float(CLASSES.index(mover.name)), *np.round(own, 2).tolist()])
    return renderer.image(), rows


def _photographed(pixels: NDArray[np.float32], noise: np.random.Generator) -> NDArray[np.uint8]:
    soft = cv2.GaussianBlur(pixels, (0, 0), 0.6)
    return (soft + noise.normal(0, 2, soft.shape[:2])[..., None]).clip(0, 255).astype(np.uint8)


def crossings(camera: Camera, traffic: list[Mover], line: list[float], seconds: float) -> dict[str, dict[str, int]]:
    """The exact number of objects that cross the line, by class name and direction."""
    counts: dict[str, Counter[str]] = {}
    for mover in traffic:
        ends = mover.along(0.0), mover.along(seconds - 1 / RATE)
        if (ends[0] < 0) != (ends[1] < 0):
            ahead = math.copysign(3.0, mover.speed)
            (place,), _ = camera.project(np.array([[mover.across, ahead, 0.0]]))
            dx, dy = line[2] - line[0], line[3] - line[1]
            is_right = dx * (place[1] - line[1]) - dy * (place[0] - line[0]) > 0
            counts.setdefault(mover.name, Counter())["in" if is_right else "out"] += 1
    return {name: dict(count) for name, count in sorted(counts.items())}

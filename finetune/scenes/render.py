"""A picture of a scene, and the exact boxes of what is in it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from finetune.scenes.camera import Camera
from finetune.scenes.ground import Canvas, paint, shade
from finetune.scenes.layout import Layout, lay_out
from finetune.scenes.shapes import FACES, Colour, Floats, Solid, Thing, block
from finetune.sources import CLASSES

Rng = np.random.Generator
Pixels = NDArray[np.uint8]

_OVER = 2  # drawn at twice the size, then averaged
_SEEN = 0.2  # share of a thing that nothing hides and the frame shows, for it to be labelled
_SMALLEST = 3.0  # px, the shorter side of a label
_SIZES = ((960, 540), (800, 600), (640, 512), (720, 720))


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and its labels.

    Attributes:
        pixels: uint8 [H, W, 3], RGB.
        boxes: float32 [n, 4], x1, y1, x2, y2 of whole things (also of what is hidden), cut at the frame, px.
        class_ids: int32 [n], of VisDrone's ten.
        visible: float32 [n], the share of each that is seen.
    """

    pixels: Pixels
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    visible: NDArray[np.float32]


def render(seed: int) -> Scene:
    """The scene of a seed; the same seed gives the same picture."""
    rng = np.random.default_rng((20230917, seed))
    camera = _camera(rng)
    reach = _reach(camera)
    layout = lay_out(reach, rng)
    canvas = paint(layout, reach * 1.3, 1600, rng)
    sun = _sun(rng)
    overcast = rng.random() < 0.3
    shade(canvas, layout, sun, float(rng.uniform(0.1, 0.25) if overcast else rng.uniform(0.4, 0.65)))
    heat = rng.random() < 0.12
    stage = Stage(camera, sun, 0.8 if overcast else 0.55, heat, rng)
    stage.ground(canvas)
    stage.draw(layout)
    boxes, class_ids, visible = stage.labels()
    return Scene(_photographed(stage.picture(), heat, rng), boxes, class_ids, visible)


def _camera(rng: Rng) -> Camera:
    width, height = _SIZES[rng.integers(len(_SIZES))]
    pitch = math.radians(90 if rng.random() < 0.2 else rng.uniform(24, 88))
    view = math.radians(rng.uniform(45, 70))
    across = rng.uniform(26, 75)  # m that the picture is wide in its middle
    distance = across / 2 / math.tan(view / 2)
    return Camera(
        distance * math.sin(pitch), pitch, rng.uniform(0, 2 * math.pi), width / 2 / math.tan(view / 2), width, height
    )


def _reach(camera: Camera) -> float:
    """How far from the origin the ground is in view, m, at most 150."""
    top = 0.0 if camera.pitch > math.radians(45) else camera.height_px * 0.08
    corners = np.array([[0, top], [camera.width, top], [0, camera.height_px], [camera.width, camera.height_px]])
    rays = (corners - (camera.width / 2, camera.height_px / 2)) / camera.focal
    down = camera.axes[1, 2] * rays[:, 1] + camera.axes[2, 2]
    if (down > -0.05).any():
        return 150.0
    return float(min(np.hypot(*camera.on_ground(corners).T).max(), 150.0))


def _sun(rng: Rng) -> Floats:
    height, side = math.radians(rng.uniform(28, 75)), rng.uniform(0, 2 * math.pi)
    return np.array([math.cos(side) * math.cos(height), math.sin(side) * math.cos(height), math.sin(height)])


class Stage:
    """The picture while it is drawn, and which thing each pixel shows."""

    def __init__(self, camera: Camera, sun: Floats, ambient: float, heat: bool, rng: Rng) -> None:
        self._camera = Camera(
            camera.height,
            camera.pitch,
            camera.yaw,
            camera.focal * _OVER,
            camera.width * _OVER,
            camera.height_px * _OVER,
        )
        self._sun, self._ambient, self._heat, self._rng = sun, ambient, heat, rng
        self._pixels = np.zeros((self._camera.height_px, self._camera.width, 3), np.float32)
        self._owner = np.zeros(self._pixels.shape[:2], np.uint16)
        self._labelled: list[tuple[int, int, Floats, int]] = []  # number, class, box, own area in px

    def ground(self, canvas: Canvas) -> None:
        """Lay the map under everything; the sky is haze."""
        size = (self._camera.width, self._camera.height_px)
        haze = tuple(float(v) for v in self._rng.uniform(150, 215) * np.array((0.96, 1.0, 1.05)))
        matrix = self._camera.ground() @ canvas.homography()
        cv2.warpPerspective(
            canvas.pixels,
            matrix,
            size,
            self._pixels,
            cv2.INTER_LINEAR,
            cv2.BORDER_CONSTANT,
            tuple(canvas.pixels.mean((0, 1)).tolist()),
        )
        rows = np.arange(size[1])[:, None] - size[1] / 2
        sky = np.broadcast_to(
            self._camera.axes[1, 2] * rows / self._camera.focal + self._camera.axes[2, 2] > -0.01, self._owner.shape
        )
        self._pixels[sky] = haze
        if self._heat:
            grey = self._pixels.mean(2, keepdims=True)
            self._pixels[:] = (grey - grey.mean()) * 0.4 + self._rng.uniform(60, 130)

    def draw(self, layout: Layout) -> None:
        """Paint trees and things, the farthest first."""
        items: list[tuple[float, Thing | tuple[float, float, float]]] = []
        for thing in layout.things:
            centre = np.mean([s.corners.mean(0) for s in thing.solids], 0)
            items.append((float(np.linalg.norm(centre - self._camera.position)), thing))
        for tree in layout.trees:
            items.append((float(np.linalg.norm(np.array([tree[0], tree[1], 2.0]) - self._camera.position)), tree))
        for number, (_, item) in enumerate(sorted(items, key=lambda i: -i[0]), 1):
            if isinstance(item, Thing):
                self._thing(item, number)
            else:
                self._tree(item, number)

    def _thing(self, thing: Thing, number: int) -> None:
        corners = np.concatenate([s.corners for s in thing.solids])
        points, depth = self._camera.project(corners)
        frame = (self._camera.width, self._camera.height_px)
        if depth.min() < 1 or (points.max(0) < 0).any() or (points.min(0) > frame).any():
            return
        warm = None
        if self._heat and thing.class_name:
            alive = thing.class_name in ("pedestrian", "people")
            warm = float(self._rng.uniform(190, 250) if alive else self._rng.uniform(30, 235))
        low = np.floor(points.min(0)).astype(int) - 2
        high = np.ceil(points.max(0)).astype(int) + 3
        own = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        order = sorted(thing.solids, key=lambda s: -float(np.linalg.norm(s.corners.mean(0) - self._camera.position)))
        for solid in order:
            self._solid(solid, number, own, low, warm)
        if thing.class_name:
            box = np.concatenate([points.min(0), points.max(0)]) / _OVER
            self._labelled.append((number, CLASSES.index(thing.class_name), box, int(own.sum())))

    def _solid(self, solid: Solid, number: int, own: Pixels, low: NDArray[np.int_], warm: float | None) -> None:
        points, _ = self._camera.project(solid.corners)
        for face, colour in zip(FACES, solid.colours, strict=True):
            a, b, c = solid.corners[face[0]], solid.corners[face[1]], solid.corners[face[3]]
            normal = np.cross(b - a, c - a)
            if normal @ (self._camera.position - solid.corners[face].mean(0)) <= 0:
                continue
            outline = points[face].round().astype(np.int32)
            cv2.fillConvexPoly(self._pixels, outline, self._lit(colour, normal, warm))
            cv2.fillConvexPoly(self._owner, outline, (number,))
            cv2.fillConvexPoly(own, outline - low, (1,))

    def _lit(self, colour: Colour, normal: Floats, warm: float | None) -> Colour:
        if warm is not None:
            value = warm * 0.75 + sum(colour) / 3 * 0.25
            return (value, value, value)
        if self._heat:
            value = sum(colour) / 3 * 0.5 + 20
            return (value, value, value)
        light = self._ambient + (1.12 - self._ambient) * max(
            0.0, float(normal @ self._sun) / float(np.linalg.norm(normal) + 1e-9)
        )
        r, g, b = (v * light for v in colour)
        return (r, g, b)

    def _tree(self, tree: tuple[float, float, float], number: int) -> None:
        x, y, radius = tree
        trunk = block((0.3, 0.3, radius * 1.7), (x, y, 0), (84.0, 66.0, 50.0))
        own = np.zeros((1, 1), np.uint8)
        if self._camera.project(trunk.corners)[1].min() > 1:
            self._solid(trunk, number, own, np.zeros(2, int), None)
        green = np.array((62, 88, 44), np.float64) * self._rng.uniform(0.6, 1.3) * self._rng.uniform(0.85, 1.15, 3)
        middle = np.array([x, y, radius * 1.8])
        leaves = middle + self._rng.normal(0, radius * 0.42, (int(40 + radius * 30), 3))
        points, depth = self._camera.project(leaves)
        if depth.min() < 1:
            return
        for i in np.argsort(leaves[:, 2] - depth * 0.3):
            light = 0.55 + 0.28 * (leaves[i, 2] / (radius * 1.8)) * self._rng.uniform(0.6, 1.4)
            tone = (70.0, 70.0, 70.0) if self._heat else tuple((green * light).tolist())
            size = max(1, round(float(self._rng.uniform(0.12, 0.3)) * radius / depth[i] * self._camera.focal))
            at = (round(points[i, 0]), round(points[i, 1]))
            cv2.circle(self._pixels, at, size, tone, -1)
            cv2.circle(self._owner, at, size, (number,), -1)

    def labels(self) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
        """Boxes, classes and visible shares of what is seen well enough."""
        seen = np.bincount(self._owner.ravel(), minlength=65536)
        size = (
            np.array([self._camera.width, self._camera.height_px, self._camera.width, self._camera.height_px]) / _OVER
        )
        boxes, ids, shares = [], [], []
        for number, class_id, box, area in self._labelled:
            cut = np.clip(box, 0, size)
            share = seen[number] / max(area, 1)
            if share >= _SEEN and min(cut[2] - cut[0], cut[3] - cut[1]) >= _SMALLEST:
                boxes.append(cut)
                ids.append(class_id)
                shares.append(min(share, 1.0))
        return np.array(boxes, np.float32).reshape(-1, 4), np.array(ids, np.int32), np.array(shares, np.float32)

    def picture(self) -> NDArray[np.float32]:
        """Averaged down to its size, float32 [H, W, 3]."""
        size = (self._camera.width // _OVER, self._camera.height_px // _OVER)
        return np.asarray(cv2.resize(self._pixels, size, interpolation=cv2.INTER_AREA), np.float32)


def _photographed(pixels: NDArray[np.float32], heat: bool, rng: Rng) -> Pixels:
    """What a camera makes of it: light, tint, blur, noise, JPEG."""
    values: NDArray[np.float64] = np.clip(pixels, 0, 255).astype(np.float64) / 255
    values = values ** rng.uniform(0.8, 1.25) * rng.uniform(0.75, 1.2)
    if heat:
        values = 1 - values if rng.random() < 0.5 else values
    else:
        grey = values.mean(2, keepdims=True)
        values = grey + (values - grey) * rng.uniform(0.6, 1.25)
        values = values * rng.uniform(0.93, 1.07, 3) + rng.uniform(0, 0.08)
    values = np.asarray(cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.35, 1.0))), values.dtype)
    shot = rng.normal(0, rng.uniform(0.004, 0.03), values.shape[:2])[..., None]
    values = values + shot + rng.normal(0, 0 if heat else 0.006, values.shape)
    done = np.clip(values * 255, 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", done[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))])
    return np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])

"""Renders scenes, with the exact boxes of the objects in them."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from finetune.data.sources import CLASSES
from finetune.scenes.camera import Camera
from finetune.scenes.ground import Canvas, paint, shade
from finetune.scenes.houses import House, Texture
from finetune.scenes.layout import Layout, Tree, lay_out
from finetune.scenes.solids import FACES, Colour, Floats, SceneObject, Solid, block
from finetune.variants import INPUT_SIZE

Rng = np.random.Generator
Pixels = NDArray[np.uint8]

_SUPERSAMPLING = 2  # the scene is drawn at twice the size, then averaged
_MIN_VISIBLE = 0.35  # share of an object's area that must be visible for it to be labelled
_MIN_SIDE = 7.0  # px at the detector's input size; objects with a shorter side are not drawn
_IMAGE_SIZES = ((960, 540), (800, 600), (640, 512), (720, 720))


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and its labels.

    Attributes:
        pixels: uint8 [H, W, 3], RGB.
        boxes: float32 [n, 4], xyxy in pixels: whole objects with their hidden parts, clipped to the image.
        class_ids: int32 [n], of VisDrone's ten classes.
        visible: float32 [n], visible share of each object, 0..1.
    """

    pixels: Pixels
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    visible: NDArray[np.float32]


def render(seed: int) -> Scene:
    """Render the scene of a seed; the same seed gives the same image."""
    rng = np.random.default_rng((20230917, seed))
    camera = _camera(rng)
    reach = _reach(camera)
    layout = lay_out(reach, camera.position, rng)
    canvas = paint(layout, reach * 1.3, 2000, rng)
    sun = _sun(rng)
    overcast = rng.random() < 0.3
    shade(canvas, layout, sun, float(rng.uniform(0.1, 0.25) if overcast else rng.uniform(0.4, 0.65)))
    thermal = rng.random() < 0.12
    renderer = SceneRenderer(camera, sun, 0.8 if overcast else 0.55, thermal, rng)
    renderer.draw_ground(canvas)
    renderer.draw(layout)
    boxes, class_ids, visible = renderer.labels()
    return Scene(_photographed(renderer.image(), thermal, rng), boxes, class_ids, visible)


def _camera(rng: Rng) -> Camera:
    width, height = _IMAGE_SIZES[rng.integers(len(_IMAGE_SIZES))]
    pitch = math.radians(90 if rng.random() < 0.2 else rng.uniform(24, 88))
    view = math.radians(rng.uniform(45, 70))
    across = (
        rng.uniform(18, 34) if rng.random() < 0.5 else rng.uniform(26, 60)
    )  # m, width of the ground at the image's centre
    distance = across / 2 / math.tan(view / 2)
    return Camera(
        distance * math.sin(pitch), pitch, rng.uniform(0, 2 * math.pi), width / 2 / math.tan(view / 2), width, height
    )


def _reach(camera: Camera) -> float:
    """Distance from the origin up to which the ground is visible, m, at most 120."""
    top = 0.0 if camera.pitch > math.radians(45) else camera.height_px * 0.08
    corners = np.array([[0, top], [camera.width, top], [0, camera.height_px], [camera.width, camera.height_px]])
    rays = (corners - (camera.width / 2, camera.height_px / 2)) / camera.focal
    down = camera.axes[1, 2] * rays[:, 1] + camera.axes[2, 2]
    if (down > -0.05).any():
        return 120.0
    return float(min(np.hypot(*camera.on_ground(corners).T).max(), 120.0))


def _sun(rng: Rng) -> Floats:
    height, side = math.radians(rng.uniform(28, 75)), rng.uniform(0, 2 * math.pi)
    return np.array([math.cos(side) * math.cos(height), math.sin(side) * math.cos(height), math.sin(height)])


class SceneRenderer:
    """Draws a scene, and records for each pixel the object that it shows.

    Args:
        camera: the camera.
        sun: unit vector towards the sun, float64 [3].
        ambient: share of the light that also reaches faces turned away from the sun, 0..1.
        thermal: whether the image is that of a thermal camera.
        rng: source of all random choices.
    """

    def __init__(self, camera: Camera, sun: Floats, ambient: float, thermal: bool, rng: Rng) -> None:
        self._camera = Camera(
            camera.height,
            camera.pitch,
            camera.yaw,
            camera.focal * _SUPERSAMPLING,
            camera.width * _SUPERSAMPLING,
            camera.height_px * _SUPERSAMPLING,
        )
        self._sun, self._ambient, self._thermal, self._rng = sun, ambient, thermal, rng
        self._pixels = np.zeros((self._camera.height_px, self._camera.width, 3), np.float32)
        self._object_map = np.zeros(self._pixels.shape[:2], np.uint16)
        self._labelled: list[tuple[int, int, Floats, int]] = []  # number, class id, box, area in px without occlusion

    def draw_ground(self, canvas: Canvas) -> None:
        """Draw the map in perspective, and haze above the horizon."""
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
            self._camera.axes[1, 2] * rows / self._camera.focal + self._camera.axes[2, 2] > -0.01,
            self._object_map.shape,
        )
        self._pixels[sky] = haze
        if self._thermal:
            grey = self._pixels.mean(2, keepdims=True)
            self._pixels[:] = (grey - grey.mean()) * 0.4 + self._rng.uniform(60, 130)

    def draw(self, layout: Layout) -> None:
        """Draw houses, trees and objects, the farthest first."""
        eye = self._camera.position
        houses = sorted(layout.houses, key=lambda h: -float(np.linalg.norm(h.body.corners.mean(0) - eye)))
        items: list[tuple[int, float, SceneObject | Tree | House]] = [(2 * i + 1, 0.0, h) for i, h in enumerate(houses)]
        views = [_HouseView(h, self._camera) for h in houses]
        standing: list[SceneObject | Tree] = [*layout.objects, *layout.trees]
        for item in standing:
            if isinstance(item, Tree):
                low, high = item.middle - item.radius * item.stretch, item.middle + item.radius * item.stretch
                corners = np.array([[item.x, item.y, z] for z in (low, high)])
            else:
                corners = np.concatenate([s.corners for s in item.solids])
            centre = corners.mean(0)
            # Draw it before the first house that hides it; among such items, the nearest last.
            slot = next((i for i, view in enumerate(views) if view.hides(corners, centre)), len(views))
            items.append((2 * slot, -float(np.linalg.norm(centre - eye)), item))
        for number, (_, _, drawn) in enumerate(sorted(items, key=lambda i: i[:2]), 1):
            if isinstance(drawn, House):
                self._house(drawn, number)
            elif isinstance(drawn, SceneObject):
                self._object(drawn, number)
            else:
                self._tree(drawn, number)

    def _house(self, house: House, number: int) -> None:
        points, depth = self._camera.project(house.body.corners)
        if not self._in_view(points, depth):
            return
        eye = self._camera.position
        above = sorted(house.above, key=lambda s: -float(np.linalg.norm(s.corners.mean(0) - eye)))
        below = eye[2] < house.body.corners[4, 2]
        for solid in above if below else ():
            self._unlabelled(solid, number)
        for face, normal in house.body.seen_from(eye):
            self._textured(points[FACES[face]], house.textures[face], normal, number)
        for solid in () if below else above:
            self._unlabelled(solid, number)

    def _in_view(self, points: Floats, depth: Floats) -> bool:
        """Whether all projected corners are in front of the camera, and their bounding box meets the image."""
        frame = (self._camera.width, self._camera.height_px)
        return not (depth.min() < 1 or (points.max(0) < 0).any() or (points.min(0) > frame).any())

    def _unlabelled(self, solid: Solid, number: int) -> None:
        if self._camera.project(solid.corners)[1].min() > 1:
            self._solid(solid, number, np.zeros((1, 1), np.uint8), np.zeros(2, int), None)

    def _textured(self, outline: Floats, texture: Texture, normal: Floats, number: int) -> None:
        """Draw a textured face.

        Args:
            outline: float64 [4, 2], projected corners: lower left, lower right, upper right, upper left from outside.
            texture: uint8 [h, w, 3].
            normal: outward normal, float64 [3].
            number: number of the house.
        """
        low = np.maximum(np.floor(outline.min(0)).astype(int), 0)
        high = np.minimum(np.ceil(outline.max(0)).astype(int) + 1, (self._camera.width, self._camera.height_px))
        if (high <= low).any():
            return
        # Reduce the texture to its size in the image first, which avoids aliasing.
        sides = np.linalg.norm(outline - np.roll(outline, -1, 0), axis=1)
        size = np.minimum(
            (texture.shape[1], texture.shape[0]), np.maximum((max(sides[0], sides[2]), max(sides[1], sides[3])), 2)
        )
        width, height = size.round().astype(int).tolist()
        small = cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        lit = np.array(self._lit((1.0, 1.0, 1.0), normal, None), np.float32)
        if self._thermal:
            small = small.mean(2, keepdims=True).repeat(3, 2) * 0.5 + 20
        else:
            small *= lit
        flat = np.array([[0, height], [width, height], [width, 0], [0, 0]], np.float32)
        matrix = cv2.getPerspectiveTransform(flat, (outline - low).astype(np.float32))
        patch = cv2.warpPerspective(
            small, matrix, tuple((high - low).tolist()), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, (outline - low).round().astype(np.int32), (1,))
        inside = mask > 0
        self._pixels[low[1] : high[1], low[0] : high[0]][inside] = patch[inside]
        self._object_map[low[1] : high[1], low[0] : high[0]][inside] = number

    def _object(self, item: SceneObject, number: int) -> None:
        corners = np.concatenate([s.corners for s in item.solids])
        points, depth = self._camera.project(corners)
        if not self._in_view(points, depth):
            return
        if item.class_name and self._shorter_side(points.max(0) - points.min(0)) < _MIN_SIDE:
            return
        warm = None
        if self._thermal and item.class_name:
            is_person = item.class_name in ("pedestrian", "people")
            warm = float(self._rng.uniform(190, 250) if is_person else self._rng.uniform(30, 235))
        low = np.floor(points.min(0)).astype(int) - 2
        high = np.ceil(points.max(0)).astype(int) + 3
        own = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        order = sorted(item.solids, key=lambda s: -float(np.linalg.norm(s.corners.mean(0) - self._camera.position)))
        for solid in order:
            self._solid(solid, number, own, low, warm)
        if item.class_name:
            box = np.concatenate([points.min(0), points.max(0)]) / _SUPERSAMPLING
            self._labelled.append((number, CLASSES.index(item.class_name), box, int(own.sum())))

    def _shorter_side(self, sides: Floats) -> float:
        """The shorter of a width and a height, float64 [2] in drawn px, at the detector's input size."""
        return float((sides * INPUT_SIZE / (self._camera.width, self._camera.height_px)).min())

    def _solid(self, solid: Solid, number: int, own: Pixels, low: NDArray[np.int_], warm: float | None) -> None:
        points, _ = self._camera.project(solid.corners)
        for face, normal in solid.seen_from(self._camera.position):
            outline = points[FACES[face]].round().astype(np.int32)
            cv2.fillConvexPoly(self._pixels, outline, self._lit(solid.colours[face], normal, warm))
            cv2.fillConvexPoly(self._object_map, outline, (number,))
            cv2.fillConvexPoly(own, outline - low, (1,))

    def _lit(self, colour: Colour, normal: Floats, warm: float | None) -> Colour:
        if warm is not None:
            value = warm * 0.75 + sum(colour) / 3 * 0.25
            return (value, value, value)
        if self._thermal:
            value = sum(colour) / 3 * 0.5 + 20
            return (value, value, value)
        light = self._ambient + (1.12 - self._ambient) * max(
            0.0, float(normal @ self._sun) / float(np.linalg.norm(normal) + 1e-9)
        )
        r, g, b = (v * light for v in colour)
        return (r, g, b)

    def _tree(self, tree: Tree, number: int) -> None:
        trunk = block((0.3, 0.3, tree.middle), (tree.x, tree.y, 0), (84.0, 66.0, 50.0))
        if tree.middle > tree.radius:
            self._unlabelled(trunk, number)
        green = np.array((62, 88, 44), np.float64) * self._rng.uniform(0.6, 1.5) * self._rng.uniform(0.8, 1.2, 3)
        middle = np.array([tree.x, tree.y, tree.middle])
        spread = np.array([1, 1, tree.stretch]) * tree.radius
        away = self._rng.normal(0, 1, (int(90 + tree.radius * 70), 3))
        away *= (self._rng.random(len(away)) ** 0.4 / np.linalg.norm(away, axis=1) * 0.85)[:, None]
        leaves = np.asarray(middle + away * spread, np.float64)
        leaves[:, 2] = np.maximum(leaves[:, 2], 0.1)
        points, depth = self._camera.project(leaves)
        if depth.min() < 1:
            return
        lights = 0.5 + (0.32 + 0.28 * away @ self._sun) * self._rng.uniform(0.7, 1.3, len(away)) + away[:, 2] * 0.12
        sizes = self._rng.uniform(0.08, 0.22, len(away)) * tree.radius / depth * self._camera.focal
        for i in np.argsort(away[:, 2] - depth * 0.5 / tree.radius):
            tone = (70.0, 70.0, 70.0) if self._thermal else tuple((green * lights[i] * 1.2).tolist())
            at, size = (round(points[i, 0]), round(points[i, 1])), max(1, round(sizes[i]))
            cv2.circle(self._pixels, at, size, tone, -1)
            cv2.circle(self._object_map, at, size, (number,), -1)

    def labels(self) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
        """Boxes [n, 4], class ids [n] and visible shares [n] of the objects that are visible enough to be labelled."""
        visible_area = np.bincount(self._object_map.ravel(), minlength=65536)
        size = (
            np.array([self._camera.width, self._camera.height_px, self._camera.width, self._camera.height_px])
            / _SUPERSAMPLING
        )
        boxes, ids, shares = [], [], []
        for number, class_id, box, area in self._labelled:
            clipped = np.clip(box, 0, size)
            share = visible_area[number] / max(area, 1)
            if (
                share >= _MIN_VISIBLE
                and self._shorter_side(np.asarray((clipped[2:] - clipped[:2]) * _SUPERSAMPLING, np.float64))
                >= _MIN_SIDE
            ):
                boxes.append(clipped)
                ids.append(class_id)
                shares.append(min(share, 1.0))
        return np.array(boxes, np.float32).reshape(-1, 4), np.array(ids, np.int32), np.array(shares, np.float32)

    def image(self) -> NDArray[np.float32]:
        """The image, averaged down to its final size, float32 [H, W, 3], RGB, 0..255."""
        size = (self._camera.width // _SUPERSAMPLING, self._camera.height_px // _SUPERSAMPLING)
        return np.asarray(cv2.resize(self._pixels, size, interpolation=cv2.INTER_AREA), np.float32)


class _HouseView:
    """A house in the image, to decide which items it hides."""

    def __init__(self, house: House, camera: Camera) -> None:
        corners = house.body.corners
        points, depth = camera.project(corners)
        self._drawn = bool(depth.min() >= 1)
        self._low, self._high = points.min(0), points.max(0)
        self._camera = camera
        # A point and the outward normal of each visible wall.
        visible = house.body.seen_from(camera.position)
        self._planes = [(corners[FACES[face][0]], normal) for face, normal in visible if face > 0]

    def hides(self, corners: Floats, centre: Floats) -> bool:
        """Whether the house may hide an item with these corners, float64 [n, 3], around a centre, float64 [3]."""
        if not self._drawn or any(normal @ (centre - a) > 0 for a, normal in self._planes):
            return False
        points, depth = self._camera.project(corners)
        return bool(depth.min() < 1 or ((points.max(0) > self._low) & (points.min(0) < self._high)).all())


def _photographed(pixels: NDArray[np.float32], thermal: bool, rng: Rng) -> Pixels:
    """Simulate a camera: exposure, tint, blur, noise and JPEG compression; uint8 [H, W, 3], RGB."""
    values: NDArray[np.float64] = np.clip(pixels, 0, 255).astype(np.float64) / 255
    values = values ** rng.uniform(0.8, 1.25) * rng.uniform(0.75, 1.2)
    if thermal:
        values = 1 - values if rng.random() < 0.5 else values
    else:
        grey = values.mean(2, keepdims=True)
        values = grey + (values - grey) * rng.uniform(0.6, 1.25)
        values = values * rng.uniform(0.93, 1.07, 3) + rng.uniform(0, 0.08)
    values = np.asarray(cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.35, 1.0))), values.dtype)
    shot = rng.normal(0, rng.uniform(0.004, 0.03), values.shape[:2])[..., None]
    values = values + shot + rng.normal(0, 0 if thermal else 0.006, values.shape)
    quantised = np.clip(values * 255, 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", quantised[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))])
    return np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])

"""Images as they are trained on: crops at the scale at which they are served, turned, recoloured, blurred.

An image is served stretched to 640 by 640. So a crop of S px shows S/640 of each side, at scales around that.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.datasets import Sample
from sod.image import decode_image

SERVED = 640
_STORED = 1024  # px of each side that are kept of larger images
_ZOOM = (0.75, 1.45)
_ZOOM_SERVED = (0.85, 1.25)  # of crops of the size that is served: the last that is learnt
_SEEN = 0.3  # share of an object that must be in the crop for it to be labelled
_INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stored:
    """An image in memory.

    Attributes:
        pixels: uint8 [H, W] grey or [H, W, 3] RGB, any aspect.
        boxes: float32 [n, 4], x1, y1, x2, y2 as shares of the sides, 0..1.
        class_ids: int64 [n].
    """

    pixels: Pixels
    boxes: Boxes
    class_ids: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Habits:
    """What may be done to images of a source.

    Attributes:
        turn: turn upside down and transpose.
        negative: probability that it is made negative.
        plain: cut only, at the scale that is served: to see whether a training can learn its images by heart.
    """

    turn: bool
    negative: float = 0.0
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels uint8 [S, S, 3] RGB; boxes float32 [n, 4] in its pixels; class ids int64 [n]."""

    pixels: Pixels
    boxes: Boxes
    class_ids: NDArray[np.int64]


def store(sample: Sample) -> Stored:
    """Read an image into memory; OSError or InvalidImageError where that fails."""
    labels = sample.labels
    return keep(sample.image, sample.width, sample.height, labels.boxes, labels.class_ids)


def keep(image: Path, width: int, height: int, boxes: Boxes, class_ids: NDArray[np.integer[Any]]) -> Stored:
    """Read an image into memory; boxes in its pixels. OSError or InvalidImageError where that fails."""
    pixels = decode_image(image.read_bytes())
    if max(pixels.shape[:2]) > _STORED:
        size = (min(_STORED, pixels.shape[1]), min(_STORED, pixels.shape[0]))
        pixels = _bytes(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    grey = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
    pixels = pixels[..., 0] if grey else pixels[..., ::-1]  # RGB
    shares = np.clip(boxes / np.array([width, height] * 2, np.float32), 0, 1)
    return Stored(np.ascontiguousarray(pixels), shares, class_ids.astype(np.int64))


def whole(stored: Stored, size: int = SERVED) -> Crop:
    """The image as it is served: stretched to a square by cubic interpolation."""
    pixels = cv2.resize(stored.pixels, (size, size), interpolation=cv2.INTER_CUBIC)
    return Crop(_three(_bytes(pixels)), stored.boxes * size, stored.class_ids)


def crop(stored: Stored, size: int, habits: Habits, rng: np.random.Generator) -> Crop:
    """A crop of `size` px, differently each time."""
    least, most = _ZOOM if size < SERVED else _ZOOM_SERVED
    zoom = 1.0 if habits.plain else float(np.exp(rng.uniform(np.log(least), np.log(most))))
    stretch = 1.0 if habits.plain else float(np.exp(rng.uniform(-0.15, 0.15)))
    share = np.array([size / SERVED / zoom * stretch, size / SERVED / zoom / stretch])  # of width, height
    low = _corner(stored, share, rng)
    pixels = _cut(stored.pixels, low, share, size, rng)
    boxes = (stored.boxes - np.tile(low, 2)) / np.tile(share, 2) * size
    boxes, kept = _visible(boxes.astype(np.float32), size)
    if habits.plain:
        return Crop(_three(pixels), boxes, stored.class_ids[kept])
    pixels, boxes = _turned(pixels, boxes, habits, rng)
    return Crop(_recoloured(pixels, habits, rng), boxes, stored.class_ids[kept])


def _corner(stored: Stored, share: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Where the crop begins, as shares of the sides: mostly around some object, of any class of the image alike."""
    room = 1 - share
    if len(stored.boxes) and rng.random() < 0.75:
        of = rng.choice(np.unique(stored.class_ids))
        box = stored.boxes[rng.choice(np.nonzero(stored.class_ids == of)[0])]
        low = (box[:2] + box[2:]) / 2 - share * rng.uniform(0.1, 0.9, 2)
    else:
        low = room * rng.uniform(0, 1, 2)
    return np.where(room > 0, np.clip(low, 0, np.maximum(room, 0)), room * rng.uniform(0, 1, 2))


def _cut(
    pixels: Pixels, low: NDArray[np.float64], share: NDArray[np.float64], size: int, rng: np.random.Generator
) -> Pixels:
    height, width = pixels.shape[:2]
    x1, y1 = np.floor(low * (width, height)).astype(int)
    x2, y2 = np.ceil((low + share) * (width, height)).astype(int)
    part = pixels[max(y1, 0) : y2, max(x1, 0) : x2]
    pads = (max(-y1, 0), max(y2 - height, 0), max(-x1, 0), max(x2 - width, 0))
    if any(pads):
        part = _bytes(cv2.copyMakeBorder(part, *pads, cv2.BORDER_CONSTANT, value=(114, 114, 114)))
    return _bytes(cv2.resize(part, (size, size), interpolation=int(rng.choice(_INTERPOLATIONS))))


def _visible(boxes: Boxes, size: int) -> tuple[Boxes, NDArray[np.bool_]]:
    cut = np.clip(boxes, 0, size)
    whole_area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    sides = cut[:, 2:] - cut[:, :2]
    kept = (sides.prod(1) / whole_area >= _SEEN) & (sides.min(1) >= 2)
    return cut[kept], kept


def _turned(pixels: Pixels, boxes: Boxes, habits: Habits, rng: np.random.Generator) -> tuple[Pixels, Boxes]:
    size = pixels.shape[0]
    if rng.random() < 0.5:
        pixels, boxes = pixels[:, ::-1], np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], 1)
    if habits.turn and rng.random() < 0.5:
        pixels, boxes = pixels[::-1], np.stack([boxes[:, 0], size - boxes[:, 3], boxes[:, 2], size - boxes[:, 1]], 1)
    if habits.turn and rng.random() < 0.3:
        pixels, boxes = np.swapaxes(pixels, 0, 1), boxes[:, [1, 0, 3, 2]]
    return pixels, boxes


def _recoloured(pixels: Pixels, habits: Habits, rng: np.random.Generator) -> Pixels:
    values = np.ascontiguousarray(_three(pixels))
    if rng.random() < 0.12:
        values = _three(_bytes(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)))
    table = np.arange(256) / 255.0
    table = table ** np.exp(rng.uniform(-0.3, 0.3))
    table = (table - 0.5) * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.12, 0.12)
    if rng.random() < habits.negative:
        table = 1 - table
    tints = rng.uniform(0.92, 1.08, 3) if pixels.ndim == 3 else np.ones(3)
    tables = np.clip(table[:, None] * tints * 255, 0, 255).astype(np.uint8)
    values = _bytes(cv2.LUT(np.ascontiguousarray(values), tables.reshape(1, 256, 3)))
    kind = rng.random()
    if kind < 0.12:
        values = _bytes(cv2.GaussianBlur(values, (3, 3), float(rng.uniform(0.4, 1.0))))
    elif kind < 0.25:
        noise = rng.normal(0, rng.uniform(2, 8), values.shape[:2])[..., None]
        values = np.clip(values + noise, 0, 255).astype(np.uint8)
    return values


def _bytes(pixels: cv2.typing.MatLike) -> Pixels:
    return np.asarray(pixels, np.uint8)


def _three(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)

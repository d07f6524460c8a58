"""Training crops: cut out at the scale at which images are served, then flipped, recoloured, blurred or made noisy.

The server stretches every image to 640 by 640. A training crop of S px therefore shows S/640 of each side of its
image, varied by a random zoom. With sliced inference it sees the image's own pixels: such a crop shows about S by S of
them.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from finetune.variants import INPUT_SIZE
from sod.datasets.dataset import LabelledImage
from sod.image import decode_image

_MAX_CACHED_SIDE = 1024  # px; larger images are reduced when they are loaded
_ZOOM = (0.75, 1.45)
_ZOOM_FULL_SIZE = (0.85, 1.25)  # of crops as large as the input, on which a training ends
_MIN_VISIBLE = 0.3  # share of an object's area that must lie in the crop for it to be labelled
_MIN_SIDE = 2  # px of a labelled object in the crop
_NEGATIVE = 0.45  # share of crops that contain a false detection, in images that have some
_POSITIVE = 0.75  # share of the others that contain a labelled object
_INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CachedImage:
    """A decoded image and its labels.

    Attributes:
        pixels: uint8 [H, W] grey or [H, W, 3] RGB, any aspect ratio.
        boxes: float32 [n, 4], xyxy as shares of the sides, 0..1.
        class_ids: int64 [n].
        false_boxes: float32 [m, 4], as `boxes`: where the detector to be trained finds objects that are not there.
    """

    pixels: Pixels
    boxes: Boxes
    class_ids: NDArray[np.int64]
    false_boxes: Boxes = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Which random changes a crop may get.

    Attributes:
        turn: whether to flip it vertically and to transpose it.
        negative: probability of inverting its brightness.
        sliced: probability of a crop at the scale of the image's own pixels, as slices are served.
        plain: cut out only, at the scale that is served; this shows whether a training can overfit its images.
    """

    turn: bool
    negative: float = 0.0
    sliced: float = 0.0
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Crop:
    """A square input of the network.

    Attributes:
        pixels: uint8 [S, S, 3], RGB.
        boxes: float32 [n, 4], xyxy in pixels of the crop.
        class_ids: int64 [n].
    """

    pixels: Pixels
    boxes: Boxes
    class_ids: NDArray[np.int64]


def load_image(labelled: LabelledImage, largest_side: int | None = _MAX_CACHED_SIDE) -> CachedImage:
    """Decode an image, and store it grey if it has no colours.

    Args:
        labelled: the image.
        largest_side: pixels to which longer sides are reduced; None keeps them, as slices need.

    Raises:
        OSError: the file cannot be read.
        InvalidImageError: the file cannot be decoded.
    """
    pixels = decode_image(labelled.image.read_bytes())
    if largest_side is not None and max(pixels.shape[:2]) > largest_side:
        size = (min(largest_side, pixels.shape[1]), min(largest_side, pixels.shape[0]))
        pixels = _uint8(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    is_grey = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
    pixels = pixels[..., 0] if is_grey else pixels[..., ::-1]  # RGB
    relative = np.clip(labelled.boxes / np.array([labelled.width, labelled.height] * 2, np.float32), 0, 1)
    return CachedImage(np.ascontiguousarray(pixels), relative, labelled.class_ids)


def whole_image(image: CachedImage, size: int = INPUT_SIZE) -> Crop:
    """The image as the server sees it: stretched to a square by cubic interpolation."""
    pixels = cv2.resize(image.pixels, (size, size), interpolation=cv2.INTER_CUBIC)
    return Crop(_rgb(_uint8(pixels)), image.boxes * size, image.class_ids)


def random_crop(image: CachedImage, size: int, augmentation: Augmentation, rng: np.random.Generator) -> Crop:
    """A random crop of `size` px, augmented."""
    lowest, highest = _ZOOM if size < INPUT_SIZE else _ZOOM_FULL_SIZE
    plain = augmentation.plain
    zoom = 1.0 if plain else float(np.exp(rng.uniform(np.log(lowest), np.log(highest))))
    stretch = 1.0 if plain else float(np.exp(rng.uniform(-0.15, 0.15)))
    height, width = image.pixels.shape[:2]
    is_slice = not plain and rng.random() < augmentation.sliced
    served = (width, height) if is_slice else (INPUT_SIZE, INPUT_SIZE)  # pixels in which the image is served
    share = np.array([size / served[0] / zoom * stretch, size / served[1] / zoom / stretch])  # of width, height
    corner = _corner(image, share, rng)
    pixels = _cut_out(image.pixels, corner, share, size, rng)
    boxes = (image.boxes - np.tile(corner, 2)) / np.tile(share, 2) * size
    boxes, kept = _visible(boxes.astype(np.float32), size)
    if plain:
        return Crop(_rgb(pixels), boxes, image.class_ids[kept])
    pixels, boxes = _flipped(pixels, boxes, augmentation, rng)
    return Crop(_recoloured(pixels, augmentation, rng), boxes, image.class_ids[kept])


def _corner(image: CachedImage, share: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Upper left corner of the crop as shares of the sides, float64 [2].

    Three crops in four contain a labelled object. Its class is drawn first, so that every class of the image is
    equally likely. Of an image with false detections almost half of the crops contain one of those instead.
    """
    room = 1 - share
    if len(image.false_boxes) and rng.random() < _NEGATIVE:
        box = image.false_boxes[rng.integers(len(image.false_boxes))]
        corner = (box[:2] + box[2:]) / 2 - share * rng.uniform(0.1, 0.9, 2)
    elif len(image.boxes) and rng.random() < _POSITIVE:
        class_id = rng.choice(np.unique(image.class_ids))
        box = image.boxes[rng.choice(np.nonzero(image.class_ids == class_id)[0])]
        corner = (box[:2] + box[2:]) / 2 - share * rng.uniform(0.1, 0.9, 2)
    else:
        corner = room * rng.uniform(0, 1, 2)
    return np.where(room > 0, np.clip(corner, 0, np.maximum(room, 0)), room * rng.uniform(0, 1, 2))


def _cut_out(
    pixels: Pixels, corner: NDArray[np.float64], share: NDArray[np.float64], size: int, rng: np.random.Generator
) -> Pixels:
    height, width = pixels.shape[:2]
    x1, y1 = np.floor(corner * (width, height)).astype(int)
    x2, y2 = np.ceil((corner + share) * (width, height)).astype(int)
    part = pixels[max(y1, 0) : y2, max(x1, 0) : x2]
    padding = (max(-y1, 0), max(y2 - height, 0), max(-x1, 0), max(x2 - width, 0))
    if any(padding):
        part = _uint8(cv2.copyMakeBorder(part, *padding, cv2.BORDER_CONSTANT, value=(114, 114, 114)))
    return _uint8(cv2.resize(part, (size, size), interpolation=int(rng.choice(_INTERPOLATIONS))))


def _visible(boxes: Boxes, size: int) -> tuple[Boxes, NDArray[np.bool_]]:
    """Boxes clipped to the crop, and which of the given ones are visible enough to be labelled."""
    clipped = np.clip(boxes, 0, size)
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    sides = clipped[:, 2:] - clipped[:, :2]
    kept = (sides.prod(1) / area >= _MIN_VISIBLE) & (sides.min(1) >= _MIN_SIDE)
    return clipped[kept], kept


def _flipped(
    pixels: Pixels, boxes: Boxes, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Pixels, Boxes]:
    size = pixels.shape[0]
    if rng.random() < 0.5:
        pixels, boxes = pixels[:, ::-1], np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], 1)
    if augmentation.turn and rng.random() < 0.5:
        pixels, boxes = pixels[::-1], np.stack([boxes[:, 0], size - boxes[:, 3], boxes[:, 2], size - boxes[:, 1]], 1)
    if augmentation.turn and rng.random() < 0.3:
        pixels, boxes = np.swapaxes(pixels, 0, 1), boxes[:, [1, 0, 3, 2]]
    return pixels, boxes


def _recoloured(pixels: Pixels, augmentation: Augmentation, rng: np.random.Generator) -> Pixels:
    """Gamma, contrast, brightness, tint, and sometimes grey, negative, blur or noise."""
    values = np.ascontiguousarray(_rgb(pixels))
    if rng.random() < 0.12:
        values = _rgb(_uint8(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)))
    curve = np.arange(256) / 255.0
    curve = curve ** np.exp(rng.uniform(-0.3, 0.3))
    curve = (curve - 0.5) * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.12, 0.12)
    if rng.random() < augmentation.negative:
        curve = 1 - curve
    tints = rng.uniform(0.92, 1.08, 3) if pixels.ndim == 3 else np.ones(3)
    curves = np.clip(curve[:, None] * tints * 255, 0, 255).astype(np.uint8)
    values = _uint8(cv2.LUT(np.ascontiguousarray(values), curves.reshape(1, 256, 3)))
    kind = rng.random()
    if kind < 0.12:
        values = _uint8(cv2.GaussianBlur(values, (3, 3), float(rng.uniform(0.4, 1.0))))
    elif kind < 0.25:
        noise = rng.normal(0, rng.uniform(2, 8), values.shape[:2])[..., None]
        values = np.clip(values + noise, 0, 255).astype(np.uint8)
    return values


def _uint8(pixels: cv2.typing.MatLike) -> Pixels:
    return np.asarray(pixels, np.uint8)


def _rgb(pixels: Pixels) -> Pixels:
    """Pixels [S, S] or [S, S, 3] as [S, S, 3]."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)

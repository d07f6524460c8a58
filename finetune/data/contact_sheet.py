"""A contact sheet of labelled images, on which wrong labels can be seen before training."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sod.datasets.dataset import LabelledImage
from sod.detections import Detections
from sod.drawing.overlay import draw_detections
from sod.errors import InvalidImageError
from sod.image import decode_image

_TILE = (480, 360)  # px, width and height
_COLUMNS = 4


def write(images: Sequence[LabelledImage], names: Sequence[str], path: Path, count: int = 16, seed: int = 0) -> None:
    """Draw the labels of up to `count` images into one JPEG.

    The seed decides which images are chosen; those with objects come first. Images that cannot be decoded are left out;
    if there is no other, nothing is written.
    """
    rng = np.random.default_rng(seed)
    order = sorted(rng.permutation(len(images)).tolist(), key=lambda i: not len(images[i].boxes))
    drawn = (_tile(images[i], names) for i in order)
    tiles = list(islice((tile for tile in drawn if tile is not None), count))
    if not tiles:
        return
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * _TILE[1], columns * _TILE[0], 3), 40, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * _TILE[1], i % columns * _TILE[0]
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    _, encoded = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    path.write_bytes(encoded.tobytes())


def _tile(labelled: LabelledImage, names: Sequence[str]) -> NDArray[np.uint8] | None:
    """The image with its boxes, reduced to fit a tile at its aspect ratio, uint8 [h, w, 3] BGR."""
    try:
        pixels = decode_image(labelled.image.read_bytes())
    except InvalidImageError:
        return None
    scale = min(_TILE[0] / labelled.width, _TILE[1] / labelled.height)
    size = (max(1, int(labelled.width * scale)), max(1, int(labelled.height * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    boxes = labelled.boxes * np.array([size[0] / labelled.width, size[1] / labelled.height] * 2, np.float32)
    labels = Detections(boxes.astype(np.float32), np.ones(len(boxes), np.float32), labelled.class_ids.astype(np.int32))
    return draw_detections(small, labels, names)

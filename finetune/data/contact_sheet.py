"""A sheet of labelled images to look at before training: wrong labels are seen at once, and by nothing else."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from finetune.data.dataset import Labelled
from sod.detections import Detections
from sod.draw import draw_detections
from sod.image import decode_image

_TILE = (480, 360)  # px, width and height
_COLUMNS = 4


def write(images: Sequence[Labelled], names: Sequence[str], path: Path, count: int = 16, seed: int = 0) -> None:
    """Draw the labels of some images, those with objects first, into one JPEG; the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    order = sorted(rng.permutation(len(images)).tolist(), key=lambda i: not len(images[i].boxes))
    tiles = [_tile(images[i], names) for i in order[:count]]
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * _TILE[1], columns * _TILE[0], 3), 40, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * _TILE[1], i % columns * _TILE[0]
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    _, code = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    path.write_bytes(code.tobytes())


def _tile(labelled: Labelled, names: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The image within the tile, aspect kept, with its boxes; BGR."""
    pixels = decode_image(labelled.image.read_bytes())
    scale = min(_TILE[0] / labelled.width, _TILE[1] / labelled.height)
    size = (max(1, int(labelled.width * scale)), max(1, int(labelled.height * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    boxes = labelled.boxes * np.array([size[0] / labelled.width, size[1] / labelled.height] * 2, np.float32)
    found = Detections(boxes.astype(np.float32), np.ones(len(boxes), np.float32), labelled.class_ids.astype(np.int32))
    return draw_detections(small, found, names)

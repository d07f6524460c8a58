"""The large images that are measured: drawn scenes, alone and side by side."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from finetune.scenes.render import render
from sod.datasets.class_names import VISDRONE_CLASSES
from sod.datasets.dataset import Dataset, LabelledImage

SCENE = (1360, 765)  # width and height of one scene in a mosaic
TILES = 4  # a mosaic has so many scenes a side: 5440 x 3060 pixels
# The demo was trained on seeds that do not end in 0.
_SEED_STEP = 10

Pixels = NDArray[np.uint8]


def write_scenes(folder: Path, mosaics: int) -> tuple[Dataset, Dataset]:
    """Draw scenes and write them as JPEG files, alone and in mosaics of 4 x 4.

    Args:
        folder: to write to.
        mosaics: number of mosaics.

    Returns:
        The single scenes and the mosaics, with their labels.
    """
    single, tiled = [], []
    for number in range(mosaics):
        canvas: Pixels = np.zeros((TILES * SCENE[1], TILES * SCENE[0], 3), np.uint8)
        boxes, class_ids = [], []
        for place in range(TILES * TILES):
            scene = render(_SEED_STEP * (number * TILES * TILES + place))
            height, width = scene.pixels.shape[:2]
            pixels = cv2.resize(scene.pixels[..., ::-1], SCENE, interpolation=cv2.INTER_CUBIC)
            factor = np.array([SCENE[0] / width, SCENE[1] / height] * 2, np.float32)
            own = (scene.boxes * factor).astype(np.float32)
            ids = scene.class_ids.astype(np.int64)
            single.append(_write(folder / f"scene_{number}_{place:02d}.jpg", np.asarray(pixels, np.uint8), own, ids))
            x, y = place % TILES * SCENE[0], place // TILES * SCENE[1]
            canvas[y : y + SCENE[1], x : x + SCENE[0]] = pixels
            boxes.append(own + np.array([x, y, x, y], np.float32))
            class_ids.append(ids)
        path = folder / f"mosaic_{number}.jpg"
        tiled.append(_write(path, canvas, np.concatenate(boxes), np.concatenate(class_ids)))
    return Dataset(tuple(single), VISDRONE_CLASSES), Dataset(tuple(tiled), VISDRONE_CLASSES)


def encoded_scene(width: int, height: int) -> bytes:
    """A JPEG of that size, filled with drawn scenes."""
    rows, columns = -(-height // SCENE[1]), -(-width // SCENE[0])
    drawn = [cv2.resize(render(_SEED_STEP * seed).pixels[..., ::-1], SCENE) for seed in range(4)]
    lines = [np.concatenate([drawn[(row + column) % 4] for column in range(columns)], 1) for row in range(rows)]
    return _jpeg(np.concatenate(lines)[:height, :width])


def _write(path: Path, pixels: Pixels, boxes: NDArray[np.float32], class_ids: NDArray[np.int64]) -> LabelledImage:
    path.write_bytes(_jpeg(pixels))
    return LabelledImage(path, pixels.shape[1], pixels.shape[0], boxes, class_ids)


def _jpeg(pixels: NDArray[np.uint8] | NDArray[np.integer[Any] | np.floating[Any]]) -> bytes:
    # Without subsampling, the colours of a scene depend little on where it lies in a mosaic.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92, *sampling])[1].tobytes()

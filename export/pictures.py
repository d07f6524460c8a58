"""The pictures that a detector is checked on."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from sod.errors import SodError
from sod.image import decode_image


def load_pictures(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Decode pictures to uint8 BGR [h, w, 3].

    Raises:
        ExportError: one cannot be read; the text names it.
    """
    pictures = []
    for path in paths:
        try:
            pictures.append(decode_image(path.read_bytes()))
        except OSError as error:
            raise ExportError(f"the picture {path} cannot be read: {error.strerror}") from None
        except SodError as error:
            raise ExportError(f"{path}: {error}") from None
    return pictures


def synthetic_picture(height: int = 720, width: int = 1280, seed: int = 0) -> NDArray[np.uint8]:
    """A gradient, small rectangles and discs, noise: uint8 BGR [height, width, 3]. Same seed, same picture."""
    random = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    picture = np.ascontiguousarray(80 + 60 * rows + 50 * columns + np.zeros(3), np.float32)
    for _ in range(120):
        x, y = int(random.integers(width)), int(random.integers(height))
        w, h = (int(side) for side in random.integers(4, 60, 2))
        colour = [float(channel) for channel in random.integers(0, 256, 3)]
        if random.random() < 0.5:
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
        else:
            cv2.circle(picture, (x, y), w // 2 + 2, colour, -1)
    return np.clip(picture + random.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)

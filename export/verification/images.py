"""The images that a detector is checked on, and those that INT8 is calibrated on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from sod.errors import SodError
from sod.image import decode_image, to_pixels

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

MIN_CALIBRATION = 10  # images; fewer say nothing of the ranges that activations take


@dataclass(frozen=True, slots=True)
class CalibrationPixels:
    """Images read and resized one at a time, each time they are asked for: a hundred at 1920 are a gigabyte."""

    paths: Sequence[Path]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (to_pixels(load_images([path])[0], self.size) for path in self.paths)


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and the images in folders and below, by name.

    Raises:
        ExportError: a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise ExportError(f"{path} holds no image: wanted are {', '.join(sorted(SUFFIXES))}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ExportError(f"the image {path} cannot be read: No such file or directory")
    return found


def load_images(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Decode images to uint8 BGR [h, w, 3].

    Raises:
        ExportError: one cannot be read; the text names it.
    """
    images = []
    for path in paths:
        try:
            images.append(decode_image(path.read_bytes()))
        except OSError as error:
            raise ExportError(f"the image {path} cannot be read: {error.strerror}") from None
        except SodError as error:
            raise ExportError(f"{path}: {error}") from None
    return images


def spread(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many, from the whole of the sequence."""
    count = min(most, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def split(paths: Sequence[Path], compared: int) -> tuple[list[Path], list[Path]]:
    """Images to compare on, at most so many, and those to calibrate on: others, if there are enough, else all."""
    chosen = spread(paths, compared)
    others = [path for path in paths if path not in set(chosen)]
    return chosen, others if len(others) >= MIN_CALIBRATION else list(paths)


def synthetic_image(height: int = 720, width: int = 1280, seed: int = 0) -> NDArray[np.uint8]:
    """A gradient, small rectangles and discs, noise: uint8 BGR [height, width, 3]. Same seed, same image."""
    random = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    image = np.ascontiguousarray(80 + 60 * rows + 50 * columns + np.zeros(3), np.float32)
    for _ in range(120):
        x, y = int(random.integers(width)), int(random.integers(height))
        w, h = (int(side) for side in random.integers(4, 60, 2))
        colour = [float(channel) for channel in random.integers(0, 256, 3)]
        if random.random() < 0.5:
            cv2.rectangle(image, (x, y), (x + w, y + h), colour, -1)
        else:
            cv2.circle(image, (x, y), w // 2 + 2, colour, -1)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)

"""Images for the accuracy check and for the calibration of INT8."""

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

MIN_CALIBRATION = 10  # images; fewer do not show the ranges of the activations


@dataclass(frozen=True, slots=True)
class CalibrationPixels:
    """Calibration images as pixels, read and resized at each iteration: a hundred at 1920 x 1920 take a gigabyte.

    Iterating gives uint8 RGB [H, W, 3].

    Attributes:
        paths: the image files.
        size: H and W of the detector's input.
    """

    paths: Sequence[Path]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (to_pixels(load_images([path])[0], self.size) for path in self.paths)


def find_images(paths: Sequence[Path]) -> list[Path]:
    """List image files: files as they are given, folders with everything below them, sorted by name.

    Raises:
        ExportError: a path does not exist, or a folder contains no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise ExportError(f"{path} contains no image; supported are {', '.join(sorted(SUFFIXES))}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ExportError(f"the image {path} cannot be read: No such file or directory")
    return found


def load_images(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Decode images to uint8 BGR [h, w, 3].

    Raises:
        ExportError: a file cannot be read or decoded; the text names it.
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


def sample_evenly(paths: Sequence[Path], most: int) -> list[Path]:
    """At most `most` of the paths, at even distances over the whole sequence."""
    count = min(most, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def too_few_for_int8(count: int) -> str:
    """The sentence for fewer images than `MIN_CALIBRATION`."""
    return (
        f"INT8 is calibrated on images, and {count} are too few: give --images a folder with at least "
        f"{MIN_CALIBRATION}, better 100, images like those of the cameras"
    )


def split(paths: Sequence[Path], max_compared: int) -> tuple[list[Path], list[Path]]:
    """Divide the images into those to compare on and those to calibrate on.

    Args:
        paths: image files.
        max_compared: the largest number of images to compare on.

    Returns:
        The images to compare on; and the remaining ones to calibrate on, or all if fewer than `MIN_CALIBRATION` remain.
    """
    compared = sample_evenly(paths, max_compared)
    remaining = [path for path in paths if path not in set(compared)]
    return compared, remaining if len(remaining) >= MIN_CALIBRATION else list(paths)


def synthetic_image(height: int = 720, width: int = 1280, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a gradient with small rectangles, discs and noise.

    Returns:
        uint8 BGR [height, width, 3]; the same seed gives the same image.
    """
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

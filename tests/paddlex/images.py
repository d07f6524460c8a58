"""The images of the comparison, by the name of their file: kinds that clients send, and damaged ones."""

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
_EXIF_ORIENTATION = 0x0112


def photograph(width: int = 640) -> NDArray[np.uint8]:
    """The Minsk crossing, uint8 BGR [H, W, 3]."""
    image = cv2.imread(str(_EXAMPLES / "minsk-crossing.jpg"))
    assert image is not None
    size = (width, image.shape[0] * width // image.shape[1])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def readable_images() -> dict[str, bytes]:
    """Images that both must read in the same way."""
    bgr = photograph()
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    bgra = np.dstack([bgr, np.full(grey.shape, 128, np.uint8)])
    jpeg = encode(".jpg", bgr)
    pillow = Image.fromarray(bgr[..., ::-1])
    images = {path.name: path.read_bytes() for path in sorted(_EXAMPLES.glob("*.jpg"))}
    images |= {
        "bgr.jpg": jpeg,
        "grey.jpg": encode(".jpg", grey),
        "progressive.jpg": encode(".jpg", bgr, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "cmyk.jpg": save(pillow.convert("CMYK"), "JPEG"),
        "bgr.png": encode(".png", bgr),
        "grey.png": encode(".png", grey),
        "bgra.png": encode(".png", bgra),
        "grey-alpha.png": save(Image.fromarray(np.dstack([grey, grey])), "PNG"),
        "palette.png": save(pillow.quantize(64), "PNG"),
        "bits.png": save(Image.fromarray(grey).convert("1"), "PNG"),
        "bgr16.png": encode(".png", bgr.astype(np.uint16) * 257),
        "grey16.png": encode(".png", grey.astype(np.uint16) * 257),
        "grey12in16.png": encode(".png", grey.astype(np.uint16) * 16),
        "bgr.webp": encode(".webp", bgr),
        "lossless.webp": save(pillow, "WEBP", lossless=True),
        "bgr.bmp": encode(".bmp", bgr),
        "grey.bmp": encode(".bmp", grey),
        "bgr.tif": encode(".tif", bgr),
        "bgra.tif": encode(".tif", bgra),
        "grey16.tif": encode(".tif", grey.astype(np.uint16) * 257),
        "bgr16.tif": encode(".tif", bgr.astype(np.uint16) * 257),
        "one.png": encode(".png", bgr[:1, :1]),
        "column.png": encode(".png", bgr[:, :1]),
        "strip.png": encode(".png", bgr[:3]),
        "white.png": encode(".png", np.full((300, 400, 3), 255, np.uint8)),
    }
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[_EXIF_ORIENTATION] = orientation
        images[f"exif{orientation}.jpg"] = save(pillow, "JPEG", exif=exif)
    return images


def truncated_jpeg() -> bytes:
    """Half of a JPEG."""
    whole = encode(".jpg", photograph())
    return whole[: len(whole) // 2]


def encode(suffix: str, image: NDArray[np.uint8 | np.uint16 | np.float32], *options: int) -> bytes:
    """By OpenCV."""
    return cv2.imencode(suffix, image, list(options))[1].tobytes()


def save(image: Image.Image, form: str, **options: object) -> bytes:
    """By Pillow."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()

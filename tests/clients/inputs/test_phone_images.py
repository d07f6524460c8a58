"""HEIC and AVIF, as phones write them: the image that is sent, its boxes and the drawing are upright."""

import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps
from sod_client import create_pipeline

from tests.clients.conftest import BOXES, FakeServer, without_image

ORIENTATION = 0x0112
FORMATS = {".heic": "HEIF", ".avif": "AVIF"}
SIZE = (96, 64)


def quadrants() -> Image.Image:
    """Red, green, blue and yellow: each orientation looks different."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48], pixels[:32, 48:] = (200, 0, 0), (0, 200, 0)
    pixels[32:, :48], pixels[32:, 48:] = (0, 0, 200), (200, 200, 0)
    return Image.fromarray(pixels)


def phone_image(kind: str, orientation: int) -> tuple[bytes, Image.Image]:
    """An encoded image with this orientation, and what it shows."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    png, encoded = io.BytesIO(), io.BytesIO()
    quadrants().save(png, "PNG", exif=exif)
    pillow_heif.register_heif_opener()
    quadrants().save(encoded, FORMATS[kind], exif=exif.tobytes(), quality=95)
    assert encoded.getvalue()[4:8] == b"ftyp"
    assert (b"irot" in encoded.getvalue()) == (orientation in (3, 5, 6, 7, 8))
    with Image.open(png) as image:
        shown = ImageOps.exif_transpose(image)
    return encoded.getvalue(), shown


def difference(image: Image.Image, other: Image.Image) -> float:
    assert image.size == other.size
    return float(np.abs(np.asarray(image.convert("RGB"), int) - np.asarray(other.convert("RGB"), int)).mean())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_of_a_phone_is_sent_and_drawn_upright(
    kind: str, orientation: int, server: FakeServer, tmp_path: Path
) -> None:
    content, shown = phone_image(kind, orientation)
    file = tmp_path / f"IMG_1{kind.upper()}"
    file.write_bytes(content)
    server.respond_with(200, without_image(detectedObjects=[]))
    with create_pipeline(url=server.url) as pipeline:
        from_file, from_bytes = pipeline.predict([file, content], visualize=False)
    for sent in server.images():
        with Image.open(io.BytesIO(sent)) as image:
            assert image.format == "PNG"
            assert image.getexif().get(ORIENTATION, 1) == 1
            assert difference(image, shown) < 5
    assert from_file.size == shown.size
    for result in (from_file, from_bytes):  # the client draws
        assert difference(result.img["res"], shown) < 5
    saved = from_file.save_to_img(tmp_path / "out")
    with Image.open(saved) as image:
        assert image.size == shown.size


def test_an_orientation_that_only_exif_has_turns_neither_boxes_nor_image(server: FakeServer) -> None:
    # By the standard of HEIF, EXIF does not turn an image: only irot and imir do.
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    encoded = io.BytesIO()
    pillow_heif.register_heif_opener()
    quadrants().save(encoded, "HEIF", exif=exif, quality=95)
    assert b"irot" not in encoded.getvalue()
    server.respond_with(200, without_image())
    with create_pipeline(url=server.url) as pipeline:
        (result,) = pipeline.predict(encoded.getvalue(), visualize=False)
    (sent,) = server.images()
    with Image.open(io.BytesIO(sent)) as image:
        assert difference(image, quadrants()) < 5
    assert result.img["res"].size == SIZE
    assert result.boxes == BOXES

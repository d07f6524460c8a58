"""Decoding: every kind of image a user sends, and everything that is not one."""

import io
import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sod.errors import ImageTooLargeError, InvalidImageError
from sod.formats.image_structure import StructureLimits
from sod.image import ImageHeader, check_image, decode_image, may_be_image, read_header, resize, scale_factor, to_pixels

# A gradient with red on the left and green growing downwards: shows swapped channels, flips and turns.
HEIGHT, WIDTH = 48, 80
RGB = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
RGB[:, : WIDTH // 2, 0] = 220
RGB[..., 1] = np.linspace(0, 200, HEIGHT, dtype=np.uint8)[:, None]
BGR = RGB[..., ::-1]


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


IMAGE = Image.fromarray(RGB)
ALPHA = IMAGE.copy()
ALPHA.putalpha(128)
EXACT = {
    "PNG": encode(IMAGE, "PNG"),
    "PNG with alpha": encode(ALPHA, "PNG"),
    "BMP": encode(IMAGE, "BMP"),
    "lossless WebP": encode(IMAGE, "WEBP", lossless=True),
    "TIFF": encode(IMAGE, "TIFF"),
    "interlaced 16-bit PNG": cv2.imencode(".png", BGR.astype(np.uint16) * 257)[1].tobytes(),
}
NEAR = {
    "baseline JPEG": encode(IMAGE, "JPEG", quality=95),
    "progressive JPEG": encode(IMAGE, "JPEG", quality=95, progressive=True),
    "CMYK JPEG": encode(IMAGE.convert("CMYK"), "JPEG", quality=95),
    "WebP": encode(IMAGE, "WEBP", quality=95),
    "palette PNG": encode(IMAGE.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
}


@pytest.mark.parametrize("kind", EXACT)
def test_lossless_images_decode_exactly(kind):
    np.testing.assert_array_equal(decode_image(EXACT[kind]), BGR)


@pytest.mark.parametrize("kind", NEAR)
def test_lossy_images_decode_closely(kind):
    decoded = decode_image(NEAR[kind])
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - BGR).mean() < 6


@pytest.mark.parametrize(("mode", "file_format"), [("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG")])
def test_grey_images_have_three_equal_channels(mode, file_format):
    decoded = decode_image(encode(IMAGE.convert(mode), file_format))
    assert decoded.shape == (HEIGHT, WIDTH, 3)
    assert (decoded[..., 0] == decoded[..., 1]).all()
    assert (decoded[..., 0] == decoded[..., 2]).all()
    assert decoded.std() > 10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    # Stored such that a viewer that honours the tag shows the image upright.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = IMAGE.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else IMAGE
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_image(encode(stored, "JPEG", quality=95, exif=exif))
    assert decoded.shape == BGR.shape
    assert np.abs(decoded.astype(int) - BGR).mean() < 6


def test_a_truncated_jpeg_decodes_to_what_is_there():
    whole = encode(IMAGE.resize((800, 480)), "JPEG", quality=95)
    decoded = decode_image(whole[: len(whole) // 2])
    assert decoded.shape == (480, 800, 3)
    assert np.abs(decoded[:150, :390].astype(int) - (0, 30, 220)).mean() < 40


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"x", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"GIF89a" + bytes(50), "not an image"),
        (b"%PDF-1.7 ...", "not an image"),
        (encode(IMAGE, "PNG")[:50] + bytes(60), "PNG image of 80 x 48 pixels cannot be decoded"),
        (encode(IMAGE, "PNG")[:40], "not an image"),
        (encode(IMAGE, "JPEG")[:8], "header is damaged"),
        (encode(IMAGE, "WEBP")[:60], "header is damaged"),
    ],
)
def test_what_is_no_image_is_refused_with_a_sentence(data, says):
    with pytest.raises(InvalidImageError, match=says):
        decode_image(data)


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(8193, 8192), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(width, height, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageTooLargeError, match=f"{width} x {height} = .* pixels; the limit is 67,108,864"):
        decode_image(png_bomb(width, height))


def test_the_pixel_limit_is_inclusive():
    assert check_image(EXACT["PNG"], StructureLimits(pixels=WIDTH * HEIGHT)) == ImageHeader("PNG", WIDTH, HEIGHT)
    with pytest.raises(ImageTooLargeError, match="80 x 48 = 3,840 pixels; the limit is 3,839"):
        check_image(EXACT["PNG"], StructureLimits(pixels=WIDTH * HEIGHT - 1))


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from([*EXACT.values(), *NEAR.values()]),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 2000),
)
def test_damage_is_an_error_of_ours_or_an_image(kind, edits, cut):
    data = bytearray(kind[: max(1, len(kind) - cut)])
    for position, value in edits:
        data[position % len(data)] = value
    decoded = np.zeros((1, 1, 3))
    with suppress(InvalidImageError):
        decoded = decode_image(bytes(data), StructureLimits(pixels=10**6))
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_error_of_ours_or_a_header(data):
    header = ImageHeader("none", 1, 1)
    with suppress(InvalidImageError):
        header = read_header(data)
    assert min(header.width, header.height) >= 0


def test_to_pixels_is_rgb_at_the_wanted_size():
    pixels = to_pixels(np.ascontiguousarray(BGR), (640, 320))
    assert pixels.shape == (640, 320, 3)
    assert pixels[10, 10, 0] > 200
    assert pixels[10, 10, 2] == 0


def test_to_pixels_is_opencvs_plain_cubic_resize():
    image = np.random.default_rng(0).integers(0, 256, (97, 53, 3), np.uint8)
    expected = cv2.cvtColor(cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(to_pixels(image, (64, 64)), expected)


def test_resize_to_the_same_size_is_the_image_itself():
    image = np.ascontiguousarray(BGR)
    assert resize(image, image.shape[:2]) is image
    assert resize(image, (7, 90)).shape == (7, 90, 3)


def test_scale_factor_is_y_then_x():
    factor = scale_factor(np.zeros((320, 1280, 3), np.uint8), (640, 640))
    assert factor.dtype == np.float32
    assert factor.tolist() == [2.0, 0.5]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "big-endian TIFF"])
def test_every_format_begins_as_an_image(kind: str) -> None:
    data = b"MM\0*\0\0\0\x08" if kind == "big-endian TIFF" else encode(IMAGE, kind)
    assert may_be_image(data[:8])


@pytest.mark.parametrize(
    "head", [b"", b"<!doctype html>", b"%PDF-1.7", b"GIF89a\1\0", b"PK\3\4    ", b"\x1f\x8b\x08     "]
)
def test_what_begins_otherwise_is_no_image(head: bytes) -> None:
    assert not may_be_image(head)

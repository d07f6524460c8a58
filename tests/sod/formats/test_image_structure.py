"""What decoding may cost is bounded by the parts of the file, counted before anything is decoded."""

from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sod.errors import ImageTooComplexError, ImageTooLargeError, InvalidImageError
from sod.formats.image_structure import StructureLimits, check_structure
from tests.hostile import images

LIMITS = StructureLimits()


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_ordinary_images_pass(extension: str) -> None:
    check_structure(images.plain(extension), LIMITS)


@pytest.mark.parametrize(
    "flag", [cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_OPTIMIZE, cv2.IMWRITE_JPEG_RST_INTERVAL]
)
def test_ordinary_forms_of_jpeg_pass(flag: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    check_structure(cv2.imencode(".jpg", pixels, [flag, 1])[1].tobytes(), StructureLimits(scans=12))


@pytest.mark.parametrize("scans", [499, 500])
def test_scans_are_counted(scans: int) -> None:
    data = images.progressive_jpeg(64, scans)  # and one of DC
    if scans < LIMITS.scans:
        check_structure(data, LIMITS)
        return
    with pytest.raises(ImageTooComplexError, match="more than 500 scans"):
        check_structure(data, LIMITS)


def test_scans_hidden_behind_restart_markers_and_fill_bytes_are_counted() -> None:
    data = images.progressive_jpeg(64, 20).replace(b"\xff\xda", b"\xff\xd0\x00\xff\xff\xff\xda")
    with pytest.raises(ImageTooComplexError, match="more than 10 scans"):
        check_structure(data, StructureLimits(scans=10))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (images.jpeg_exif(200), "8,388,608 bytes of metadata"),
        (images.jpeg_exif(3000, 6), "2,548 segments"),
        (images.jpeg_tables(3000), "2,548 segments"),
        (images.jpeg_with(b"\xff" * 100_000), "65,536 bytes of padding"),
        (images.jpeg_with(b"\x00" * 100_000), "65,536 bytes of padding"),
        (images.png_texts(3000), "2,048 chunks without pixel data"),
        (images.png_compressed_texts(17, 1000), "16 chunks of compressed text"),
        (images.png_with(images.png_chunk(b"tEXt", bytes(9_000_000))), "8,388,608 bytes of metadata"),
        (images.png_in_pieces(70_000), "65,536 chunks of pixel data"),
        (images.tiff_tags(3000), "2,048 tags"),
        (images.tiff_shared_values(50, 1_000_000), "8,388,608 bytes of metadata"),
        (images.tiff(images.tiff_layout(strips=(273, 4, 70_000, 8)), bytes(64)), "65,536 strips or tiles"),
        (images.tiff(images.tiff_layout(compression=(259, 3, 1, 7)), b"\xff\xda" * 600), "JPEG scans"),
        (images.webp_chunks(3000), "2,048 chunks"),
        (images.webp_chunks(1, 9_000_000, b"EXIF"), "8,388,608 bytes of metadata"),
    ],
)
def test_many_parts_are_refused_with_the_limit(data: bytes, what: str) -> None:
    with pytest.raises(ImageTooComplexError, match=what):
        check_structure(data, LIMITS)


def test_a_size_that_is_given_twice_is_refused() -> None:
    frame = images.jpeg_segment(0xC0, bytes((8, 0, 64, 0, 64, 1, 1, 0x11, 0)))
    with pytest.raises(InvalidImageError, match="gives its size twice"):
        check_structure(images.jpeg_with(frame), LIMITS)
    with pytest.raises(InvalidImageError, match=r"gives ImageWidth \(tag 256\) twice"):
        check_structure(images.tiff_told_twice(2000, 64), LIMITS)


@pytest.mark.parametrize("big_endian", [False, True])
def test_tags_are_read_in_both_byte_orders(big_endian: bool) -> None:
    tags = [*images.tiff_layout(), (256, 3, 1, 9)]
    with pytest.raises(InvalidImageError, match="twice"):
        check_structure(images.tiff(tags, bytes(64), big_endian), LIMITS)


def test_a_tile_larger_than_the_image_counts_whole() -> None:
    data = images.tiff_tiles(1024)
    check_structure(data, LIMITS)
    with pytest.raises(ImageTooLargeError, match=r"1024 x 1024 = 1,048,576 pixels together; the limit is 1,000,000"):
        check_structure(data, StructureLimits(pixels=1_000_000))


def test_samples_count() -> None:
    data = images.tiff(images.tiff_layout(samples=(277, 3, 1, 60_000)), bytes(64))
    with pytest.raises(ImageTooLargeError, match="decodes to 3,840,000 bytes; the limit is 16,000"):
        check_structure(data, StructureLimits(pixels=1000))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([".jpg", ".png", ".webp", ".tif"]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    st.integers(0, 10_000),
)
def test_damage_ends_without_another_error(extension: str, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(images.plain(extension))
    for position, value in changes:
        data[position % len(data)] = value
    with suppress(InvalidImageError):  # any other error fails
        check_structure(bytes(data[: max(1, length)]), LIMITS)

"""One way to 8 bits: the server's pixels, the client's, and OpenCV's own."""

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sod_client import InvalidArrayError, SodWarning, UnreadableFileError
from sod_client._inputs.arrays import to_bgr
from sod_client._inputs.pixels import decode_image as client_decode
from sod_client._inputs.pixels import warn_if_dark
from sod_client._inputs.stretch import stretch_encoded

from sod.errors import InvalidImageError
from sod.formats.tiff_samples import is_signed
from sod.image import decode_image

Array = NDArray[Any]
RAMP = np.linspace(0, 65535, 64 * 48).reshape(48, 64)
GREY16 = RAMP.astype(np.uint16)
COLOUR16 = np.stack([GREY16, GREY16[::-1], GREY16[:, ::-1]], -1)


def tiff(array: Array, photometric: int = 1) -> bytes:
    """An uncompressed TIFF of [H, W] or [H, W, C]; OpenCV and Pillow write fewer kinds than there are."""
    bands = 1 if array.ndim == 2 else array.shape[2]
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    extra = [(338, [0] * (bands - 3))] if photometric == 2 and bands > 3 else []
    shorts = [
        (256, [array.shape[1]]), (257, [array.shape[0]]), (258, [array.itemsize * 8] * bands), (259, [1]),
        (262, [photometric]), (273, [0]), (277, [bands]), (278, [array.shape[0]]), (279, [array.nbytes]),
        *extra, (339, [kind] * bands)
    ]  # fmt: skip
    after = 8 + 2 + 12 * len(shorts) + 4
    pixels_at = after + sum(len(values) * 2 for _, values in shorts if len(values) > 2)
    directory, outside = b"", b""
    for tag, values in shorts:
        if tag in (273, 279):
            directory += struct.pack("<HHII", tag, 4, 1, pixels_at if tag == 273 else array.nbytes)
            continue
        packed = struct.pack(f"<{len(values)}H", *values)
        value = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", after + len(outside))
        outside += b"" if len(packed) <= 4 else packed
        directory += struct.pack("<HHI", tag, 3, len(values)) + value
    return b"II*\0" + struct.pack("<IH", 8, len(shorts)) + directory + bytes(4) + outside + array.tobytes()


def written(array: Array, suffix: str) -> bytes:
    return cv2.imencode(suffix, array)[1].tobytes()


@pytest.mark.parametrize(
    "data",
    [
        written(GREY16, ".png"), written(COLOUR16, ".png"), written(GREY16, ".tiff"), written(COLOUR16, ".tiff"),
        tiff(GREY16), tiff(GREY16, photometric=0)
    ],
    ids=["grey PNG", "colour PNG", "grey TIFF", "colour TIFF", "grey TIFF without compression", "0 is white"],
)  # fmt: skip
def test_16_bits_keep_their_upper_byte(data: bytes) -> None:
    opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    server, client = decode_image(data)[..., ::-1].astype(int), np.asarray(client_decode(data)).astype(int)
    np.testing.assert_array_equal(server, opencv)
    # libtiff rounds the samples of colour TIFFs, and those of negatives.
    assert np.abs(client - server).max() <= 1
    assert 100 < client.mean() < 155


def test_a_16_bit_array_is_what_its_file_is() -> None:
    np.testing.assert_array_equal(to_bgr(COLOUR16), decode_image(written(COLOUR16, ".png")))
    np.testing.assert_array_equal(to_bgr(GREY16), decode_image(written(GREY16, ".png")))
    np.testing.assert_array_equal(to_bgr(GREY16.astype(">u2")), to_bgr(GREY16))


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (RAMP.astype(np.float32), "32-bit floating-point"),
        (RAMP / 65535, "64-bit floating-point"),
        (RAMP.astype(np.int32), "32-bit signed integer"),
        (RAMP.astype(np.uint32), "32-bit unsigned integer"),
        ((RAMP - 32768).astype(np.int16), "16-bit signed integer"),
    ],
)
def test_other_samples_are_refused_and_stretched(array: Array, kind: str) -> None:
    with pytest.raises(InvalidImageError, match=f"the TIFF image has {kind} samples.*sod predict --stretch"):
        decode_image(tiff(array))
    if array.dtype == np.uint32:
        return  # OpenCV reads none
    stretched = decode_image(stretch_encoded(tiff(array)))
    expected = np.clip((RAMP - np.percentile(RAMP, 0.5)) / np.ptp(np.percentile(RAMP, (0.5, 99.5))) * 255, 0, 255)
    assert np.abs(stretched[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("mode", ["F", "I"])
def test_the_client_draws_on_no_white_image(mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.float32 if mode == "F" else np.int32)).save(buffer, "TIFF")
    with pytest.raises(UnreadableFileError, match=r"32-bit .* samples, which have no fixed black and white"):
        client_decode(buffer.getvalue())


@pytest.mark.parametrize(("bands", "photometric"), [(5, 1), (8, 1), (5, 2), (4, 1), (2, 1)])
def test_many_bands_are_refused_with_what_to_do(bands: int, photometric: int) -> None:
    array = np.repeat(GREY16[..., None], bands, axis=2)
    with pytest.raises(InvalidImageError, match=rf"has {bands} bands.*gdal_translate -b 3 -b 2 -b 1 .*in.tif out.tif"):
        decode_image(tiff(array, photometric))


@pytest.mark.parametrize("offset", [2**31, 2**63, 2**64 - 1])
def test_a_bigtiff_whose_directory_is_nowhere_is_refused(offset: int) -> None:
    data = b"II+\0" + struct.pack("<HHQ", 8, 0, offset) + bytes(100)
    with pytest.raises(InvalidImageError):
        decode_image(data)
    assert not is_signed(data)


def test_12_bits_in_16_are_told_and_stretched() -> None:
    dark = (COLOUR16 >> 4).astype(np.uint16)
    for data in (written(dark, ".png"), written(dark, ".tiff"), written(dark[..., 0], ".png")):
        with pytest.warns(SodWarning, match=r"field\.tif: the image has 16 bits but no value above 4095.*--stretch"):
            warn_if_dark("field.tif", data)
        assert decode_image(data).max() in (15, 16)
        stretched = decode_image(stretch_encoded(data))
        assert (stretched.min(), stretched.max()) == (0, 255)
        assert len(np.unique(stretched)) > 200


def test_an_image_of_8_bits_is_not_stretched() -> None:
    for suffix in (".png", ".jpg"):
        data = written((RAMP // 512).astype(np.uint8), suffix)
        assert stretch_encoded(data) == data
    warn_if_dark("night.png", written(np.zeros((4, 4), np.uint8), ".png"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4, 3), 0.5, np.float32), r"the largest number of the float32 array is 0\.5.*multiply it by 255"),
        (np.full((4, 4, 3), 300.0), "from 0 to 255, not 300 to 300"),
        (np.full((4, 4, 3), np.nan), "from 0 to 255, not nan"),
        (np.full((4, 4, 3), -50.0), "from 0 to 255, not -50"),
        (np.ones((4, 4, 3), np.int32), r"not int32 \[4, 4, 3\]; stretch=True"),
        (np.ones((4, 4, 3), bool), "not bool"),
        (np.ones((4, 4, 2), np.uint8), r"not uint8 \[4, 4, 2\]"),
        (np.ones((4,), np.uint8), r"not uint8 \[4\]"),
    ],
)
def test_an_array_without_a_clear_meaning_is_refused(array: Array, message: str) -> None:
    with pytest.raises(InvalidArrayError, match=message):
        to_bgr(array)


def test_arrays_of_other_kinds_become_bgr() -> None:
    grey = (RAMP // 257).astype(np.uint8)
    bgr = np.repeat(grey[..., None], 3, axis=2)
    for array in (grey, grey[..., None], bgr, np.dstack([bgr, grey]), bgr.astype(np.float32), bgr + 0.25):
        converted = to_bgr(array)
        assert converted.dtype == np.uint8
        np.testing.assert_array_equal(converted, bgr)
    np.testing.assert_array_equal(to_bgr(np.zeros((2, 2, 3), np.float32)), np.zeros((2, 2, 3)))
    assert to_bgr(RAMP.astype(np.int32), stretch=True).max() == 255

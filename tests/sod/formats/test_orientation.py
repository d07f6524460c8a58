"""Boxes and image turn together or not at all: the server's size and pixels, those of the client, and OpenCV's own."""

import inspect
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sod_client._inputs import exif as client_exif
from sod_client._inputs.pixels import decode_image as client_decode
from sod_client._inputs.pixels import decoded_size as client_size

from sod.formats import exif
from sod.image import decode_image, read_header

# Red at the upper left, blue at the lower right: every orientation looks different.
RGB = np.zeros((40, 64, 3), np.uint8)
RGB[:16, :32] = 255, 0, 0
RGB[16:, 32:] = 0, 0, 255
IMAGE = Image.fromarray(RGB)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def save(file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    IMAGE.save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff_head(orientation: int, order: str = "<") -> bytes:
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def exif_of(orientation: int, order: str = "<") -> bytes:
    return b"Exif\0\0" + tiff_head(orientation, order)


def jpeg(*app1: bytes) -> bytes:
    plain = save("JPEG", quality=95, subsampling=0)
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data for data in app1)
    return plain[:2] + segments + plain[2:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(before: bytes = b"", after: bytes = b"") -> bytes:
    plain = save("PNG")
    pixels, end = plain.index(b"IDAT") - 4, plain.index(b"IEND") - 4
    return plain[:pixels] + before + plain[pixels:end] + after + plain[end:]


RAW = b"Exif\0\0" + tiff_head(6)
RAW_PROFILE = b"\nexif\n%8d\n" % len(RAW) + RAW.hex().encode() + b"\n"
XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0" + XMP
# What OpenCV 4.11 applies.
CASES: dict[str, tuple[bytes, int]] = {
    **{f"JPEG {number}": (jpeg(exif_of(number, order)), number) for number in range(1, 9) for order in "<>"},
    **{f"PNG {number}": (png(chunk(b"eXIf", tiff_head(number))), number) for number in range(1, 9)},
    "JPEG without": (jpeg(), 1),
    "JPEG, an orientation that does not exist": (jpeg(exif_of(9)), 1),
    "JPEG, XMP alone": (jpeg(XMP_SEGMENT), 1),
    "JPEG, XMP behind EXIF": (jpeg(exif_of(6), XMP_SEGMENT), 6),
    "JPEG, XMP before EXIF": (jpeg(XMP_SEGMENT, exif_of(6)), 1),
    "JPEG, EXIF twice": (jpeg(exif_of(8), exif_of(6)), 8),
    "PNG, eXIf behind the pixels": (png(after=chunk(b"eXIf", tiff_head(6))), 6),
    "PNG, half a turn behind the pixels": (png(after=chunk(b"eXIf", tiff_head(3))), 3),
    "PNG, eXIf on both sides": (png(chunk(b"eXIf", tiff_head(3)), chunk(b"eXIf", tiff_head(6))), 3),
    "PNG, eXIf with JPEG's head": (png(chunk(b"eXIf", exif_of(6))), 1),
    "PNG, eXIf with a wrong checksum": (png(after=chunk(b"eXIf", tiff_head(6))[:-4] + bytes(4)), 1),
    "PNG, ImageMagick's raw profile": (
        png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(RAW_PROFILE))),
        1,
    ),
    "PNG, ImageMagick's raw profile as text": (png(chunk(b"tEXt", b"Raw profile type exif\0" + RAW_PROFILE)), 1),
    "PNG, XMP": (png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)), 1),
    "WebP, EXIF": (save("WEBP", lossless=True, exif=exif_of(6)), 1),
    "WebP, XMP": (save("WEBP", lossless=True, xmp=XMP), 1),
    "TIFF, XMP": (save("TIFF", tiffinfo={700: XMP}), 1),
    **{f"TIFF {number}": (save("TIFF", tiffinfo={274: number}), number) for number in range(1, 9)},
}


def turned(orientation: int) -> NDArray[np.uint8]:
    """`RGB` as a viewer shows it."""
    image = RGB.transpose(1, 0, 2) if orientation in exif.QUARTER_TURNS else RGB
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
    return np.flip(image, flips.get(orientation, ()))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("name", CASES)
def test_server_client_and_opencv_agree(name: str) -> None:
    data, orientation = CASES[name]
    expected = turned(orientation)
    opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    server, client = decode_image(data)[..., ::-1], np.asarray(client_decode(data))
    for decoded in (opencv, server, client):
        assert decoded.shape == expected.shape
        assert np.abs(decoded.astype(int) - expected).mean() < 5
    assert read_header(data).shown_size == client_size(data) == server.shape[1::-1]
    if not name.startswith("TIFF"):
        assert exif.orientation_of(data) == client_exif.orientation_of(data) == orientation


def test_the_client_has_the_servers_reader() -> None:
    for name in ("orientation_of", "_of_jpeg", "_of_png"):
        assert inspect.getsource(getattr(exif, name)) == inspect.getsource(getattr(client_exif, name))


@pytest.mark.parametrize("cut", range(0, 80, 3))
def test_a_truncated_header_has_no_orientation(cut: int) -> None:
    for data in (jpeg(exif_of(6)), png(chunk(b"eXIf", tiff_head(6)))):
        assert exif.orientation_of(data[:cut]) in (1, 6)

"""The EXIF orientation of a JPEG or PNG, as PaddleX's reader (OpenCV 4.11, `cv2.imread`) finds it.

JPEG: the first APP1 segment before the first scan; if XMP comes first, EXIF behind it has no effect. PNG: the first
eXIf chunk, before or behind the pixels. An orientation in XMP, in ImageMagick's raw profiles and in WebP has no effect.
A TIFF is turned by its decoder, by its own tag.

This is a copy of the server's `sod/formats/exif.py`, since the client depends on no package of the server. A test
compares the two.
"""

import struct
import zlib

QUARTER_TURNS = (5, 6, 7, 8)
"""The orientations whose image is shown with width and height exchanged."""

_ORIENTATION_TAG = 0x0112
_APP1, _SOS, _EOI = 0xE1, 0xDA, 0xD9
_EXIF_HEAD_BYTES = 6  # "Exif\0\0", which OpenCV skips without reading it


def orientation_of(data: bytes) -> int:
    """The orientation to apply on decoding, 1 (upright) to 8; 1 if there is none, or the data cannot be parsed."""
    if data.startswith(b"\xff\xd8"):
        exif = _of_jpeg(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        exif = _of_png(data)
    else:
        return 1
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}4xI", exif)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for index in range(count):
            tag, value = struct.unpack_from(f"{order}H6xH", exif, start + 2 + 12 * index)
            if tag == _ORIENTATION_TAG:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # truncated
        pass
    return 1


def _of_jpeg(data: bytes) -> bytes:
    position = 2
    while (position := data.find(b"\xff", position)) >= 0:
        code = data[position + 1] if position + 1 < len(data) else _EOI
        if code in (_SOS, _EOI):
            break
        if code in (0x00, 0x01, 0xFF) or 0xD0 <= code <= 0xD8:  # fill bytes, and markers without a length
            position += 1 if code == 0xFF else 2
            continue
        end = position + 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
        if code == _APP1:
            return data[position + 4 + _EXIF_HEAD_BYTES : end]
        position = end
    return b""


def _of_png(data: bytes) -> bytes:
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if kind == b"IEND" or end + 4 > len(data):
            break
        if kind == b"eXIf" and data[position + 8 : position + 10] in (b"II", b"MM"):
            (checksum,) = struct.unpack_from(">I", data, end)
            if checksum == zlib.crc32(data[position + 4 : end]):
                return data[position + 8 : end]
        position = end + 4
    return b""

"""Bounds what decoding may cost, by the structure of the file and before anything is decoded.

The number of pixels does not bound the work: a progressive JPEG may send any number of scans over all pixels, a PNG any
number of text chunks, a TIFF any number of tags, and some decoders take milliseconds for each. Here the parts are
counted from the markers alone, in one pass that stops at the first limit.

Sources: ITU-T T.81 (JPEG), W3C PNG, TIFF 6.0 and BigTIFF, the WebP container; libjpeg-turbo, "Two Issues with the JPEG
Standard", for the limit on scans.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sod.errors import AmbiguousImageError, ImageTooComplexError, ImageTooLargeError

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StructureLimits:
    """How much of each kind a file may have.

    Attributes:
        pixels: pixels that its tiles may hold together, those beyond the edges of the image included.
        scans: scans of a JPEG; each passes over all blocks of the image. Ordinary progressive files have about ten.
        metadata_bytes: bytes of EXIF, XMP, colour profiles, comments and other metadata.
        parts: JPEG segments, PNG chunks without pixel data, TIFF tags, or WebP chunks.
        pixel_parts: PNG chunks with pixel data, or TIFF strips or tiles.
    """

    pixels: int = 8192 * 8192
    scans: int = 500
    metadata_bytes: int = 8 * _MIB
    parts: int = 2048
    pixel_parts: int = 65_536


_COMPRESSED_CHUNKS = 16  # PNG chunks that are decompressed on reading; each may become 8 MiB
_PADDING_BYTES = 64 * 1024  # between two JPEG segments
_SAMPLE_BYTES = 16  # of a TIFF's pixel: four channels of 32 bits


def check_structure(data: bytes, limits: StructureLimits) -> None:
    """Refuse an encoded image whose decoding could cost far more than its pixels.

    Args:
        data: JPEG, PNG, WebP, BMP or TIFF; what is damaged is left for the decoder to refuse.
        limits: what the file may have.

    Raises:
        ImageTooComplexError: more parts than the limits allow.
        ImageTooLargeError: a TIFF whose tiles or samples decode to more than the limit on pixels.
        AmbiguousImageError: a JPEG that gives its size twice, or a TIFF a tag that decides the layout.
    """
    for beginning, check in _CHECKS.items():
        if data.startswith(beginning):
            check(data, limits)
            return


def _refuse(reason: str, kind: str, what: str, limit: int, remedy: str) -> ImageTooComplexError:
    return ImageTooComplexError(reason, f"the {kind} image has more than {limit:,} {what}: {remedy}")


# --- JPEG -------------------------------------------------------------------------------------------------------------

# A marker within entropy-coded data: neither a stuffed zero, a fill byte nor a restart marker follows 0xFF.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_FILL = re.compile(rb"\xff+")
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_SOF = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_SEQUENTIAL = (0xC0, 0xC1)
_METADATA = frozenset((*range(0xE0, 0xF0), 0xFE))
_EOI, _SOS = 0xD9, 0xDA


def _check_jpeg(data: bytes, limits: StructureLimits) -> None:
    scans = metadata = 0
    frame, components = 0, 0
    remedy = "save it anew, as a baseline JPEG without metadata"
    for number, (code, start, end) in enumerate(_jpeg_segments(data)):
        if number >= limits.parts + limits.scans:
            raise _refuse("parts", "JPEG", "segments", limits.parts + limits.scans, remedy)
        if code in _METADATA:
            metadata += end - start
            if metadata > limits.metadata_bytes:
                raise _refuse("metadata", "JPEG", "bytes of metadata", limits.metadata_bytes, remedy)
        elif code in _SOF:
            if frame:  # readers differ in whether the first or the last counts
                raise AmbiguousImageError(f"the JPEG image gives its size twice: {remedy}")
            frame, components = code, data[start + 7] if start + 7 < len(data) else 0
        elif code == _SOS:
            scans += 1
            if scans > limits.scans:
                raise _refuse("scans", "JPEG", "scans", limits.scans, remedy)
            if frame in _SEQUENTIAL and data[start + 2 : start + 3] == bytes((components,)):
                return  # all components in one sequential scan: decoders take no further one


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker code, start and end of each segment's length field and payload, up to the end of the image."""
    position = 2
    while position < len(data):
        fill = _FILL.match(data, position)
        if fill is None:  # decoders skip what is no marker
            marker = _NEXT_MARKER.search(data, position)
            begins = len(data) if marker is None else marker.start()
            after = begins + 1
        else:
            begins, after = fill.end() - 1, fill.end()
        if begins - position > _PADDING_BYTES:
            raise _refuse("padding", "JPEG", "bytes of padding between two segments", _PADDING_BYTES, "save it anew")
        if after >= len(data) or data[after] == _EOI:
            return
        code, start = data[after], after + 1
        if code in _STANDALONE or code == 0:
            position = start
            continue
        end = start + max(2, int.from_bytes(data[start : start + 2], "big"))
        yield code, start, end
        position = end
        if code == _SOS:
            marker = _NEXT_MARKER.search(data, end)
            if marker is None:
                return
            position = marker.start()


# --- PNG --------------------------------------------------------------------------------------------------------------

_CHUNK = struct.Struct(">I4s")
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")


def _check_png(data: bytes, limits: StructureLimits) -> None:
    position = 8
    pixel_chunks = others = compressed = metadata = 0
    remedy = "save it anew without metadata"
    while position + 8 <= len(data):
        length, kind = _CHUNK.unpack_from(data, position)
        position += 12 + length
        if kind == b"IEND":
            return
        if kind == b"IDAT":
            pixel_chunks += 1
            if pixel_chunks > limits.pixel_parts:
                raise _refuse("pixel_parts", "PNG", "chunks of pixel data", limits.pixel_parts, "save it anew")
            continue
        others += 1
        compressed += kind in _COMPRESSED
        metadata += length
        if others > limits.parts:
            raise _refuse("parts", "PNG", "chunks without pixel data", limits.parts, remedy)
        if compressed > _COMPRESSED_CHUNKS:
            raise _refuse("compressed", "PNG", "chunks of compressed text or profiles", _COMPRESSED_CHUNKS, remedy)
        if metadata > limits.metadata_bytes:
            raise _refuse("metadata", "PNG", "bytes of metadata", limits.metadata_bytes, remedy)


# --- WebP -------------------------------------------------------------------------------------------------------------


def _check_webp(data: bytes, limits: StructureLimits) -> None:
    position = 12
    chunks = metadata = 0
    remedy = "save it anew as one still image without metadata"
    while position + 8 <= len(data):
        kind = data[position : position + 4]
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
        chunks += 1
        if chunks > limits.parts:
            raise _refuse("parts", "WebP", "chunks", limits.parts, remedy)
        if kind not in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"):
            metadata += length
            if metadata > limits.metadata_bytes:
                raise _refuse("metadata", "WebP", "bytes of metadata", limits.metadata_bytes, remedy)


# --- TIFF -------------------------------------------------------------------------------------------------------------

_WIDTH, _LENGTH, _BITS, _COMPRESSION = 256, 257, 258, 259
_STRIPS, _SAMPLES, _STRIP_SIZES = 273, 277, 279
_TILE_WIDTH, _TILE_LENGTH, _TILES, _TILE_SIZES = 322, 323, 324, 325
_PIXEL_PARTS = (_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES)
_JPEG_IN_TIFF = (6, 7)
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
# What decides the size or layout of the pixels; readers differ in whether the first or the last of two values counts.
_LAYOUT = {_WIDTH: "ImageWidth", _LENGTH: "ImageLength", _BITS: "BitsPerSample", _COMPRESSION: "Compression"} | {
    262: "PhotometricInterpretation",
    _STRIPS: "StripOffsets",
    274: "Orientation",
    _SAMPLES: "SamplesPerPixel",
    278: "RowsPerStrip",
    _STRIP_SIZES: "StripByteCounts",
    284: "PlanarConfiguration",
    317: "Predictor",
    _TILE_WIDTH: "TileWidth",
    _TILE_LENGTH: "TileLength",
    _TILES: "TileOffsets",
    _TILE_SIZES: "TileByteCounts",
    338: "ExtraSamples",
    339: "SampleFormat",
}


@dataclass(frozen=True, slots=True)
class _TiffTag:
    number: int
    count: int
    bytes: int
    value: int  # the first, where it is an integer within the entry itself; else 0


def _check_tiff(data: bytes, limits: StructureLimits) -> None:
    remedy = "save it anew"
    tags: dict[int, _TiffTag] = {}
    metadata = 0
    for number, tag in enumerate(_tiff_tags(data)):
        if number >= limits.parts:
            raise _refuse("parts", "TIFF", "tags", limits.parts, remedy)
        if tag.number in _PIXEL_PARTS:
            if tag.count > limits.pixel_parts:
                raise _refuse("pixel_parts", "TIFF", "strips or tiles", limits.pixel_parts, "save it with larger ones")
        else:
            metadata += tag.bytes
            if metadata > limits.metadata_bytes:
                raise _refuse("metadata", "TIFF", "bytes of metadata", limits.metadata_bytes, remedy)
        if tag.number in _LAYOUT and tag.number in tags:
            name = _LAYOUT[tag.number]
            raise AmbiguousImageError(f"the TIFF image gives {name} (tag {tag.number}) twice: {remedy}")
        tags[tag.number] = tag
    _check_tiff_pixels(tags, limits)
    pixel_parts = max((tags[number].count for number in _PIXEL_PARTS if number in tags), default=0)
    if _value(tags, _COMPRESSION, 1) in _JPEG_IN_TIFF and data.count(b"\xff\xda") > limits.scans + 3 * pixel_parts:
        raise _refuse("scans", "TIFF", "JPEG scans in its strips or tiles", limits.scans + 3 * pixel_parts, remedy)


def _check_tiff_pixels(tags: dict[int, _TiffTag], limits: StructureLimits) -> None:
    width, height = _value(tags, _WIDTH, 0), _value(tags, _LENGTH, 0)
    tile_width, tile_height = _value(tags, _TILE_WIDTH, 0), _value(tags, _TILE_LENGTH, 0)
    if tile_width and tile_height:
        width, height = -(-width // tile_width) * tile_width, -(-height // tile_height) * tile_height
    if width * height > limits.pixels:
        raise ImageTooLargeError(
            f"the TIFF image's tiles have {width} x {height} = {width * height:,} pixels together; the limit is "
            f"{limits.pixels:,}: save it with smaller tiles, or send a smaller image"
        )
    bits = _value(tags, _BITS, 8) or 32  # several values do not fit into the entry
    size = width * height * _value(tags, _SAMPLES, 1) * bits // 8
    if size > limits.pixels * _SAMPLE_BYTES:
        raise ImageTooLargeError(
            f"the TIFF image decodes to {size:,} bytes; the limit is {limits.pixels * _SAMPLE_BYTES:,}: "
            "save it with fewer samples a pixel, or send a smaller image"
        )


def _value(tags: dict[int, _TiffTag], number: int, default: int) -> int:
    return tags[number].value if number in tags else default


def _tiff_tags(data: bytes) -> Iterator[_TiffTag]:
    """The tags of the first directory, the one that is decoded."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        big = version == 43
        (start,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
        (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, start)
        head, inline = struct.Struct(f"{order}HH{'Q' if big else 'I'}"), 8 if big else 4
        position = start + (8 if big else 2)
        for _ in range(count):
            number, kind, length = head.unpack_from(data, position)
            (short,) = struct.unpack_from(f"{order}H", data, position + head.size)
            (word,) = struct.unpack_from(f"{order}I", data, position + head.size)
            size = _TYPE_BYTES.get(kind, 1) * length
            integer = {1: data[position + head.size], 3: short, 4: word, 16: word}.get(kind, 0)
            yield _TiffTag(number, length, size, integer if size <= inline else 0)
            position += head.size + inline
    # It ends early, or BigTIFF gives an offset of more than 63 bits: the decoder refuses it.
    except (struct.error, IndexError, OverflowError):
        return


_CHECKS: dict[bytes, Callable[[bytes, StructureLimits], None]] = {
    b"\xff\xd8": _check_jpeg,
    b"\x89PNG\r\n\x1a\n": _check_png,
    b"RIFF": _check_webp,
    b"II": _check_tiff,
    b"MM": _check_tiff,
}

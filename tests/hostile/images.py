"""Generators of small files that are expensive to read: each stands for a kind of attack.

They are deterministic and take their size as an argument, so that the same generator makes the harmless case.
"""

import struct
import zlib

import cv2
import numpy as np

_PNG = b"\x89PNG\r\n\x1a\n"


def plain(extension: str, width: int = 64, height: int = 48) -> bytes:
    """A harmless image with a gradient; `extension` as OpenCV takes it (".jpg")."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 4 % 256, columns * 4 % 256, (rows + columns) % 256], axis=2).astype(np.uint8)
    return bytes(cv2.imencode(extension, pixels)[1].tobytes())


def jpeg_segment(code: int, payload: bytes = b"") -> bytes:
    """A JPEG segment."""
    return bytes((0xFF, code)) + struct.pack(">H", len(payload) + 2) + payload


def progressive_jpeg(side: int, scans: int) -> bytes:
    """A grey progressive JPEG of side x side pixels whose AC scans hold nothing but end-of-band runs."""
    blocks = ((side + 7) // 8) ** 2
    start = jpeg_segment(0xDB, b"\0" + b"\x01" * 64)
    start += jpeg_segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + bytes((1, 0x11, 0)))
    start += jpeg_segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\0")  # DC: code 0 is category 0
    start += jpeg_segment(0xDA, bytes((1, 1, 0, 0, 0, 0))) + bytes((blocks + 7) // 8)
    start += jpeg_segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0")  # AC: code 0 is EOB14, a run from 16,384
    runs = -(-blocks // 32767)
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    parts = [jpeg_segment(0xDA, bytes((1, 1, 0, 1 + n % 63, 1 + n % 63, 0))) + data for n in range(scans)]
    return b"\xff\xd8" + start + b"".join(parts) + b"\xff\xd9"


def jpeg_with(inserted: bytes) -> bytes:
    """A harmless JPEG with bytes inserted behind its first marker."""
    image = plain(".jpg")
    return image[:2] + inserted + image[2:]


def jpeg_exif(count: int, size: int = 65_533) -> bytes:
    """A JPEG with `count` EXIF segments of `size` bytes."""
    return jpeg_with(jpeg_segment(0xE1, (b"Exif\0\0" + bytes(size))[:size]) * count)


def jpeg_tables(count: int) -> bytes:
    """A JPEG that defines the same Huffman table `count` times."""
    return jpeg_with(jpeg_segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\0") * count)


def png_chunk(kind: bytes, payload: bytes = b"") -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png_with(chunks: bytes) -> bytes:
    """A harmless PNG with chunks inserted behind its header."""
    image = plain(".png")
    return image[:33] + chunks + image[33:]


def png_texts(count: int) -> bytes:
    """A PNG with `count` short texts."""
    return png_with(png_chunk(b"tEXt", b"a\0b") * count)


def png_compressed_texts(count: int, size: int = 8_000_000) -> bytes:
    """A PNG with `count` texts, each `size` bytes when it is decompressed."""
    return png_with(png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(size), 9)) * count)


def png_in_pieces(count: int) -> bytes:
    """A PNG whose pixel data is preceded by `count` empty chunks of it."""
    return png_with(png_chunk(b"IDAT") * count)


def tiff(entries: list[tuple[int, int, int, int]], data: bytes = b"", big_endian: bool = False) -> bytes:
    """A TIFF of tags (number, type, count, value or offset); `data` lies at offset 8."""
    order = ">" if big_endian else "<"
    ifd = 8 + len(data)
    file = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(f"{order}I", ifd) + data
    file += struct.pack(f"{order}H", len(entries))
    for number, kind, count, value in entries:
        content = struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value)
        file += struct.pack(f"{order}HHI", number, kind, count) + content
    return file + bytes(4)


def tiff_told_twice(real: int, told: int) -> bytes:
    """A grey TIFF of real x real pixels that gives its width and length a second time, as `told`."""
    rows = 64
    strips = -(-real // rows)
    full = zlib.compress(bytes(real * rows), 9)
    last = zlib.compress(bytes(real * (real - (strips - 1) * rows)), 9)
    offsets = [8] * (strips - 1) + [8 + len(full)]
    sizes = [len(full)] * (strips - 1) + [len(last)]
    data = full + last + struct.pack(f"<{strips}I", *offsets) + struct.pack(f"<{strips}I", *sizes)
    table = 8 + len(full) + len(last)
    width = [(256, 4, 1, real), (256, 4, 1, told), (257, 4, 1, real), (257, 4, 1, told)]
    layout = [(258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    place = [(273, 4, strips, table if strips > 1 else 8), (277, 3, 1, 1), (278, 3, 1, rows)]
    place += [(279, 4, strips, table + 4 * strips if strips > 1 else len(last))]
    return tiff(width + layout + place, data)


def tiff_layout(**changes: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """The tags of a grey TIFF of 8 x 8 pixels whose 64 bytes lie at offset 8; `changes` by name, others are added."""
    tags = {
        "width": (256, 3, 1, 8),
        "length": (257, 3, 1, 8),
        "bits": (258, 3, 1, 8),
        "compression": (259, 3, 1, 1),
        "photometric": (262, 3, 1, 1),
        "strips": (273, 4, 1, 8),
        "samples": (277, 3, 1, 1),
        "rows": (278, 3, 1, 8),
        "sizes": (279, 4, 1, 64),
    }
    return sorted((tags | changes).values())


def tiff_tags(count: int) -> bytes:
    """A TIFF with `count` private tags beside those that it needs."""
    return tiff(tiff_layout() + [(40_000 + n, 3, 1, 0) for n in range(count)], bytes(64))


def tiff_shared_values(count: int, size: int) -> bytes:
    """A TIFF with `count` private tags that all name the same `size` bytes as their value."""
    return tiff(tiff_layout() + [(40_000 + n, 7, size, 8) for n in range(count)], bytes(max(64, size)))


def tiff_tiles(side: int) -> bytes:
    """A TIFF of 8 x 8 pixels in one tile of side x side."""
    tile = zlib.compress(bytes(side * side), 9)
    tags = tiff_layout(
        compression=(259, 3, 1, 8),
        tile_width=(322, 4, 1, side),
        tile_length=(323, 4, 1, side),
        tiles=(324, 4, 1, 8),
        tile_sizes=(325, 4, 1, len(tile)),
    )
    return tiff([tag for tag in tags if tag[0] not in (273, 278, 279)], tile)


def webp_chunks(count: int, size: int = 2, kind: bytes = b"JUNK") -> bytes:
    """A WebP with `count` chunks of `size` bytes behind its pixels."""
    body = plain(".webp")[12:] + (kind + struct.pack("<I", size) + bytes(size + size % 2)) * count
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body

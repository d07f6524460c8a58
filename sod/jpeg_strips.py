"""One JPEG from strips that were encoded beside each other.

A restart marker (ITU-T T.81, B.2.4.4) lets a decoder forget what came before it. So strips whose heights are whole
blocks, encoded alone with the same tables, are one image when such markers stand between them.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_BLOCK = 8  # pixels; without chroma subsampling a unit of the coded data is one block of each colour
_MOST = 65_535  # rows of an image, and units between two restart markers: two bytes each
_MIN_PIXELS = 250_000  # of a strip: starting a thread for less takes longer than it saves
_DRI, _SOS, _EOI, _RST0, _SOF = 0xDD, 0xDA, 0xD9, 0xD0, (0xC0, 0xC1)


def split(image: NDArray[np.uint8], count: int) -> list[NDArray[np.uint8]]:
    """Strips of an image from top to bottom, for `join`: `count` of them, or fewer of a small image.

    Args:
        image: uint8 [H, W, 3].
        count: at least 1. An image whose strips would be too large for a restart interval becomes more of them.
    """
    height, width = image.shape[:2]
    rows = -(-height // _BLOCK)
    most = _MOST // -(-width // _BLOCK)
    wanted = max(1, min(count, height * width // _MIN_PIXELS))
    if wanted == 1:
        return [image]
    step = _BLOCK * min(most, -(-rows // wanted))
    return [image[top : top + step] for top in range(0, height, step)]


def join(strips: Sequence[bytes]) -> bytes:
    """One image of encoded strips.

    Args:
        strips: baseline JPEGs without chroma subsampling of what `split` gave, in its order, written by one encoder
            with one quality.

    Raises:
        ValueError: they are not that, or are too many pixels high for a JPEG together.
    """
    if len(strips) == 1:
        return strips[0]
    frames = [_Frame(strip) for strip in strips]
    first = frames[0]
    if any((one.head(0), one.scan_header) != (first.head(0), first.scan_header) for one in frames):
        raise ValueError("the strips were encoded in different ways, or differ in width")
    if any(one.height != first.height or one.height % _BLOCK for one in frames[:-1]):
        raise ValueError(f"the strips, all but the last, need one height, a multiple of {_BLOCK} pixels")
    height = sum(one.height for one in frames)
    interval = -(-first.width // _BLOCK) * (first.height // _BLOCK)
    if height > _MOST or interval > _MOST:
        raise ValueError(f"JPEG cannot hold {height} rows in strips of {first.height}")
    parts = [first.head(height), bytes((0xFF, _DRI, 0, 4)) + interval.to_bytes(2, "big"), first.scan_header, first.scan]
    for number, frame in enumerate(frames[1:]):
        parts += [bytes((0xFF, _RST0 + number % 8)), frame.scan]
    parts.append(bytes((0xFF, _EOI)))
    return b"".join(parts)


class _Frame:
    """The parts of a JPEG with one scan."""

    def __init__(self, encoded: bytes) -> None:
        position, marks = 2, {}
        while (code := encoded[position + 1]) != _SOS:
            marks[code] = position
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
        sof = next((marks[code] for code in _SOF if code in marks), None)
        if sof is None or _DRI in marks or not encoded.endswith(bytes((0xFF, _EOI))):
            raise ValueError("a strip is not a baseline JPEG of one scan")
        components = encoded[sof + 10 : sof + 10 + 3 * encoded[sof + 9]]
        if any(factors != 0x11 for factors in components[1::3]):
            raise ValueError("a strip has subsampled chroma")
        self._size_at = sof + 5
        self._head = encoded[:position]
        self.height, self.width = (
            int.from_bytes(encoded[a:b], "big") for a, b in pairwise((sof + 5, sof + 7, sof + 9))
        )
        data = position + 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
        self.scan_header, self.scan = encoded[position:data], encoded[data:-2]

    def head(self, height: int) -> bytes:
        """All before the scan, of an image that is `height` pixels high."""
        return self._head[: self._size_at] + height.to_bytes(2, "big") + self._head[self._size_at + 2 :]

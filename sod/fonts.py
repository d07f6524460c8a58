"""Text as a mask, in any script that the fonts have: Pillow's own font, and Noto Sans CJK for what it lacks.

Pillow's is crisp at ten pixels, and knows little more than ASCII. Noto Sans CJK (a package of its own, 19 MB, SIL Open
Font License) has Chinese, Japanese, Korean, Cyrillic, and most of Latin and Greek. Scripts that need more than glyphs
side by side (Arabic, Hebrew, Thai, Devanagari) are in neither. Without the package the first is all.
"""

import importlib.util
import re
import threading
from enum import Enum
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# Strokes of a Chinese character run together below.
WIDE_MIN_SIZE = 12

_WIDE_PACKAGE, _WIDE_FILE = "noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc"
_SIMPLIFIED_CHINESE = 2  # of the file's faces: they differ in the shapes of some characters, and have the same ones
_NO_CHARACTER = "\U0010ffff"  # shows what a font draws in place of a glyph that it lacks
_lock = threading.Lock()  # FreeType faces are not safe to share between threads


class Face(Enum):
    """The fonts, the preferred one first."""

    PLAIN = "Pillow's own"
    WIDE = "Noto Sans CJK"


@lru_cache(maxsize=4096)
def face_of(word: str) -> Face | None:
    """The font that has all of a word's characters, so that no word is put together from two; None if none has."""
    return next((face for face in Face if all(_has_glyph(face, character) for character in word)), None)


def can_draw(text: str) -> bool:
    """Whether every character has a glyph."""
    return all(face_of(word) is not None for word in text.split())


def is_wide(text: str) -> bool:
    """Whether some of it is drawn in the font with the many characters."""
    return any(face_of(word) is Face.WIDE for word in text.split())


@lru_cache(maxsize=4096)
def text_mask(text: str, size: int, *, wide: bool = False) -> NDArray[np.uint8]:
    """The text's coverage, uint8 [h, w], read-only; h is the same for every text of one size and `wide`.

    Args:
        text: one line. A word that no font has is drawn as the font's sign for it: see `can_draw`.
        size: of the fonts in pixels; `WIDE_MIN_SIZE` at least for `wide`.
        wide: leave room for the wide font's characters, which are higher; without it they would be cut off.
    """
    words = [_word(word, size) for word in re.findall(r"\s*\S+\s*?|\s+", text) or [""]]
    starts = list(accumulate((word.advance for word in words), initial=0))
    left, right = words[0].left, starts[-2] + words[-1].left + words[-1].ink.shape[1]
    lines = [_line(face, size) for face in (Face if wide else (Face.PLAIN,))]
    top, bottom = min(line[0] for line in lines), max(line[1] for line in lines)
    mask = np.zeros((bottom - top, max(1, right - left)), np.uint8)
    for word, start in zip(words, starts, strict=False):
        x, y = start + word.left - left, word.top - top
        ink = word.ink[max(0, -y) : max(0, mask.shape[0] - y), max(0, -x) :]
        under = mask[max(0, y) :, max(0, x) :][: ink.shape[0], : ink.shape[1]]
        np.maximum(under, ink[:, : under.shape[1]], out=under)
    mask.flags.writeable = False  # cached arrays are shared between threads
    return mask


class _Word(NamedTuple):
    """A word as it is drawn: pixels, and where they are from where its base line starts."""

    ink: NDArray[np.uint8]
    left: int
    top: int
    advance: int  # to the next word


# Class names and scores meet in ever new labels; the words stay the same, and glyphs cost a label's whole time.
@lru_cache(maxsize=4096)
def _word(text: str, size: int) -> _Word:
    """A word, with the spaces before it."""
    face = face_of(text.strip()) or Face.PLAIN
    with _lock:
        font = _load(face, size)
        left, top, right, bottom = map(int, font.getbbox(text, anchor="ls"))
        ink = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(ink).text((-left, -top), text, fill=255, font=font, anchor="ls")
        return _Word(
            np.array(ink, np.uint8).reshape(bottom - top, right - left), left, top, round(font.getlength(text))
        )


@lru_cache(maxsize=64)
def _line(face: Face, size: int) -> tuple[int, int]:
    """Top and bottom of the highest and lowest characters, from the base line."""
    with _lock:
        box = _load(face, size).getbbox("bdlp0" if face is Face.PLAIN else "国棚Éỗộ", anchor="ls")
    return int(box[1]), int(box[3])


@lru_cache(maxsize=64)
def _load(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """A font, `size` pixels high; the plain one stands in for a wide one that is not installed."""
    path = wide_font() if face is Face.WIDE else None
    if path is not None:
        return ImageFont.truetype(path, size, index=_SIMPLIFIED_CHINESE, layout_engine=ImageFont.Layout.BASIC)
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType")
    # Whole-pixel steps: evenly spaced at 10 px, where Raqm's kerning tears words apart.
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1)
def wide_font() -> Path | None:
    """The file of the wide font; None if its package is not installed."""
    found = importlib.util.find_spec(_WIDE_PACKAGE)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).with_name(_WIDE_FILE)
    return path if path.is_file() else None


@lru_cache(maxsize=8192)
def _has_glyph(face: Face, character: str) -> bool:
    def shape(text: str) -> tuple[tuple[int, int], bytes]:
        mask = _load(face, 16).getmask(text)
        return mask.size, bytes(mask)

    try:
        with _lock:
            return character.isspace() or shape(character) != shape(_NO_CHARACTER)
    except (UnicodeError, ValueError):  # a lone surrogate
        return False

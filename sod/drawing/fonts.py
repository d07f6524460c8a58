"""Renders text as masks with Pillow's built-in font, and with Noto Sans CJK for characters that it lacks.

Pillow's font is crisp at ten pixels but has little more than ASCII. Noto Sans CJK (a separate package, 19 MB, SIL Open
Font License) has Chinese, Japanese, Korean, Cyrillic, and most of Latin and Greek. Scripts that need text shaping
(Arabic, Hebrew, Thai, Devanagari) are in neither. Without the package only Pillow's font is used.
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

# px; at smaller sizes the strokes of a Chinese character merge.
WIDE_MIN_SIZE = 12

_WIDE_PACKAGE, _WIDE_FILE = "noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc"
_SIMPLIFIED_CHINESE = 2  # index of a face in the file; the faces have the same characters with regional shapes
_NO_CHARACTER = "\U0010ffff"  # a font renders it as its symbol for missing glyphs
_lock = threading.Lock()  # FreeType faces are not safe to share between threads


class Face(Enum):
    """The fonts, in order of preference."""

    PLAIN = "Pillow's own"
    WIDE = "Noto Sans CJK"


@lru_cache(maxsize=4096)
def face_of(word: str) -> Face | None:
    """The first font that has all characters of a word, so that no word mixes fonts; None if no font has them."""
    return next((face for face in Face if all(_has_glyph(face, character) for character in word)), None)


def can_draw(text: str) -> bool:
    """Whether every word can be drawn in one of the fonts."""
    return all(face_of(word) is not None for word in text.split())


def is_wide(text: str) -> bool:
    """Whether a word of the text needs Noto Sans CJK."""
    return any(face_of(word) is Face.WIDE for word in text.split())


@lru_cache(maxsize=4096)
def text_mask(text: str, size: int, *, wide: bool = False) -> NDArray[np.uint8]:
    """Render a text as opacity, uint8 [h, w], read-only; h depends only on `size` and `wide`.

    Args:
        text: one line. A character without a glyph is rendered as the font's symbol for missing glyphs (`can_draw`).
        size: font size in pixels, at least `WIDE_MIN_SIZE` with `wide`.
        wide: make lines high enough for Noto Sans CJK, whose characters are otherwise clipped.
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
    """A rendered word, and its position relative to the start of its baseline."""

    ink: NDArray[np.uint8]
    left: int
    top: int
    advance: int  # px to the start of the next word


# Names and scores combine into ever new labels, but the words repeat, and rendering them dominates a label's cost.
@lru_cache(maxsize=4096)
def _word(text: str, size: int) -> _Word:
    """Render a word and the spaces before it."""
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
    """Top of the highest and bottom of the lowest character, in px from the baseline."""
    with _lock:
        box = _load(face, size).getbbox("bdlp0" if face is Face.PLAIN else "国棚Éỗộ", anchor="ls")
    return int(box[1]), int(box[3])


@lru_cache(maxsize=64)
def _load(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """A font of `size` pixels; Pillow's font if the wide font is not installed."""
    path = wide_font() if face is Face.WIDE else None
    if path is not None:
        return ImageFont.truetype(path, size, index=_SIMPLIFIED_CHINESE, layout_engine=ImageFont.Layout.BASIC)
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType")
    # Basic layout advances by whole pixels, which spaces characters evenly at 10 px; Raqm's kerning does not.
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1)
def wide_font() -> Path | None:
    """Path of the wide font; None if its package is not installed."""
    package = importlib.util.find_spec(_WIDE_PACKAGE)
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).with_name(_WIDE_FILE)
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

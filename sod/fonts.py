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
    runs = _runs(text)
    with _lock:
        boxes = [_load(face, size).getbbox(part, anchor="ls") for part, face in runs]
        starts = list(accumulate((round(_load(face, size).getlength(part)) for part, face in runs), initial=0))
        left, right = boxes[0][0], starts[-2] + boxes[-1][2]
        lines = [_line(face, size) for face in (Face if wide else (Face.PLAIN,))]
        top, bottom = min(line[1] for line in lines), max(line[3] for line in lines)
        mask = Image.new("L", (max(1, int(right - left)), int(bottom - top)))
        for (part, face), start in zip(runs, starts, strict=False):
            ImageDraw.Draw(mask).text((start - left, -top), part, fill=255, font=_load(face, size), anchor="ls")
    array = np.array(mask)
    array.flags.writeable = False  # cached arrays are shared between threads
    return array


def _runs(text: str) -> list[tuple[str, Face]]:
    """The text cut where the font changes, at least one piece; spaces go with the word after them."""
    runs: list[tuple[str, Face]] = []
    for part in re.findall(r"\s*\S+\s*?|\s+", text) or [""]:
        face = face_of(part.strip()) or Face.PLAIN
        if runs and (runs[-1][1] is face or part.isspace()):
            runs[-1] = (runs[-1][0] + part, runs[-1][1])
        else:
            runs.append((part, face))
    return runs


def _line(face: Face, size: int) -> tuple[float, float, float, float]:
    """Box of the highest and lowest characters, from the base line's start."""
    return _load(face, size).getbbox("bdlp0" if face is Face.PLAIN else "国棚Éỗộ", anchor="ls")


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

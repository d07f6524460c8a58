"""Colours of classes, as the server draws them.

This is a copy of the server's `sod/drawing/palette.py`, since the client depends on no package of the server. A test
compares the two.
"""

import colorsys

Colour = tuple[int, int, int]
"""Red, green, blue; each from 0 to 255."""

# By class id.
_COLOURS: tuple[Colour, ...] = (
    (255, 240, 0),
    (228, 30, 190),
    (0, 240, 168),
    (80, 165, 255),
    (242, 150, 110),
    (145, 85, 255),
    (150, 185, 0),
    (235, 188, 255),
    (245, 30, 45),
    (255, 255, 255),
)
_GOLDEN_RATIO = 0.618033988749895  # multiples of it, modulo 1, never repeat and spread the hues evenly
_SATURATION_VALUE = ((1.0, 1.0), (0.5, 1.0), (0.8, 0.8))


def class_colour(class_id: int) -> Colour:
    """The colour of a class: the first ten are listed, all others are generated."""
    if 0 <= class_id < len(_COLOURS):
        return _COLOURS[class_id]
    saturation, value = _SATURATION_VALUE[class_id % len(_SATURATION_VALUE)]
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN_RATIO % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever is easier to read on the background."""
    red, green, blue = ((channel / 255) ** 2.2 for channel in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    # The contrasts are equal at 0.18. White is preferred up to 0.24: thin white strokes on saturated colours are easier
    # to read than the contrast formula predicts.
    return (0, 0, 0) if luminance > 0.24 else (255, 255, 255)

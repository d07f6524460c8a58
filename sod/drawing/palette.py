"""A fixed colour for each class: visible as a one-pixel line on asphalt, and distinguishable with colour blindness."""

import colorsys
from functools import lru_cache

Colour = tuple[int, int, int]
"""Blue, green, red; each 0..255."""

# RGB by class id. A search in OKLab maximised the smallest distance between two colours for normal vision and simulated
# protanopia, deuteranopia and tritanopia (it is 0.06; that of matplotlib's tab10 is 0.007), without greys and dark
# colours.
_RGB = (
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
_GOLDEN = 0.618033988749895  # a hue step that is irrational, so that no hue repeats
_SATURATION_VALUE = ((1.0, 1.0), (0.5, 1.0), (0.8, 0.8))


@lru_cache(maxsize=1024)
def class_colour(class_id: int) -> Colour:
    """The colour (BGR) of a class: from the list for ids 0 to 9, generated for any other integer."""
    if 0 <= class_id < len(_RGB):
        red, green, blue = _RGB[class_id]
        return blue, green, red
    saturation, value = _SATURATION_VALUE[class_id % len(_SATURATION_VALUE)]
    rgb = colorsys.hsv_to_rgb(class_id * _GOLDEN % 1.0, saturation, value)
    red, green, blue = (round(255 * channel) for channel in rgb)
    return blue, green, red


def text_colour(background: Colour) -> Colour:
    """Black or white (BGR), whichever is more legible on `background` (BGR)."""
    blue, green, red = ((channel / 255) ** 2.2 for channel in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    # Contrast is equal at 0.18, but thin white strokes on saturated colours are more legible than the formula says.
    return (0, 0, 0) if luminance > 0.24 else (255, 255, 255)

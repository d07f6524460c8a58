"""One colour a class: stable, bright enough for a one-pixel line on asphalt, apart for colour-blind eyes too."""

import colorsys
from functools import lru_cache

Colour = tuple[int, int, int]
"""Blue, green, red; each 0..255."""

# RGB, by class id. Found by a search in OKLab that kept the nearest pair far apart for normal sight and simulated
# protanopia, deuteranopia and tritanopia (nearest 0.06; matplotlib's tab10 has 0.007), greys and dark colours left out.
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
_GOLDEN = 0.618033988749895  # turning the hue by this share never comes back to an earlier one
_SATURATION_VALUE = ((1.0, 1.0), (0.5, 1.0), (0.8, 0.8))


@lru_cache(maxsize=1024)
def class_colour(class_id: int) -> Colour:
    """The colour (BGR) of a class: from the list, and past its end a generated one. Any integer has one."""
    if 0 <= class_id < len(_RGB):
        red, green, blue = _RGB[class_id]
        return blue, green, red
    saturation, value = _SATURATION_VALUE[class_id % len(_SATURATION_VALUE)]
    rgb = colorsys.hsv_to_rgb(class_id * _GOLDEN % 1.0, saturation, value)
    red, green, blue = (round(255 * channel) for channel in rgb)
    return blue, green, red


def text_colour(background: Colour) -> Colour:
    """Black or white (BGR), whichever reads better on `background` (BGR)."""
    blue, green, red = ((channel / 255) ** 2.2 for channel in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    # Equal contrast is at 0.18; small white strokes on saturated colours read better than the formula says.
    return (0, 0, 0) if luminance > 0.24 else (255, 255, 255)

"""Houses along the streets, with windows, shop fronts, signs, awnings and roofs; none of it is labelled."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from finetune.scenes.solids import Colour, Floats, SceneObject, Solid, block, placed

Rng = np.random.Generator
Texture = NDArray[np.uint8]

_SCALE = 14.0  # px per metre of a wall's texture
_WALLS = (
    (214.0, 208.0, 196.0), (196.0, 176.0, 148.0), (176.0, 110.0, 88.0), (188.0, 192.0, 196.0), (222.0, 196.0, 150.0),
    (150.0, 120.0, 100.0), (228.0, 228.0, 226.0), (140.0, 150.0, 158.0),
)  # fmt: skip
_ROOFS = (
    (150.0, 148.0, 144.0), (120.0, 118.0, 116.0), (164.0, 92.0, 70.0), (176.0, 70.0, 78.0), (82.0, 126.0, 176.0),
    (96.0, 90.0, 88.0), (178.0, 172.0, 160.0),
)  # fmt: skip
_SIGNS = (
    (190.0, 40.0, 36.0), (220.0, 180.0, 50.0), (40.0, 80.0, 160.0), (60.0, 140.0, 80.0), (130.0, 60.0, 120.0),
    (235.0, 232.0, 224.0), (30.0, 30.0, 34.0), (226.0, 110.0, 40.0),
)  # fmt: skip
_GLASS = ((40.0, 46.0, 56.0), (60.0, 72.0, 86.0), (96.0, 110.0, 124.0), (28.0, 30.0, 34.0), (132.0, 146.0, 158.0))


@dataclass(frozen=True, slots=True)
class Footprint:
    """A rectangle on the ground.

    Attributes:
        x: its centre, m.
        y: its centre, m.
        heading: direction of its length, radians, 0 is north.
        half_width: half its extent across the heading, m.
        half_length: half its extent along the heading, m.
    """

    x: float
    y: float
    heading: float
    half_width: float
    half_length: float

    def beyond(self, x: float, y: float) -> float:
        """Distance of a point from the rectangle, m; negative inside."""
        s, c = math.sin(self.heading), math.cos(self.heading)
        across = abs((x - self.x) * c + (y - self.y) * s) - self.half_width
        along = abs(-(x - self.x) * s + (y - self.y) * c) - self.half_length
        return max(across, along)

    def points(self) -> list[tuple[float, float]]:
        """A grid of 25 points on the rectangle, which includes its corners."""
        s, c = math.sin(self.heading), math.cos(self.heading)
        steps = (-1.0, -0.5, 0.0, 0.5, 1.0)
        places = [(a * self.half_width, b * self.half_length) for a in steps for b in steps]
        return [(self.x + c * a - s * b, self.y + s * a + c * b) for a, b in places]


@dataclass(frozen=True, slots=True)
class House:
    """A house.

    Attributes:
        body: the walls and the flat roof.
        textures: uint8 [h, w, 3] for each of FACES.
        above: solids on the roof.
        footprint: the ground that it covers.
    """

    body: Solid
    textures: tuple[Texture, ...]
    above: tuple[Solid, ...]
    footprint: Footprint


def house(footprint: Footprint, height: float, rng: Rng) -> tuple[House, list[SceneObject]]:
    """A random house of a height in m, and the awnings and signs that project from its walls."""
    width, length = footprint.half_width * 2, footprint.half_length * 2
    wall, roof = _pick(_WALLS, rng), _pick(_ROOFS, rng)
    shops = rng.random() < 0.65
    style = _Style(rng)
    walls = [_wall(side, height, wall, style, shops, rng) for side in (length, width, length, width)]
    place = (footprint.x, footprint.y, footprint.heading)
    body = placed([block((width, length, height), (0, 0, 0), roof, sides=wall)], *place)[0]
    above = placed(_above(width, length, height, roof, wall, rng), *place)
    attachments = _attachments(width, length, height, rng) if shops else []
    out = [SceneObject(placed([solid], *place), None) for solid in attachments]
    return House(body, (_roof(width, length, roof, rng), *walls), above, footprint), out


class _Style:
    """Properties that all windows of a house share."""

    def __init__(self, rng: Rng) -> None:
        self.floor = rng.uniform(2.8, 3.5)
        self.pitch = rng.uniform(1.9, 4.2)
        self.width = rng.uniform(0.45, 0.8) * self.pitch
        self.height = rng.uniform(1.1, 2.0)
        self.frame = _pick(((236.0, 236.0, 234.0), (90.0, 88.0, 86.0), (160.0, 150.0, 138.0)), rng)
        self.panes = int(rng.integers(1, 4))
        self.band = rng.random() < 0.4
        self.balconies = rng.random() < 0.25


def _pick(colours: tuple[Colour, ...], rng: Rng) -> Colour:
    r, g, b = np.clip(np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.8, 1.12), 0, 255)
    return (float(r), float(g), float(b))


def _fill(image: Texture, at: tuple[float, float], size: tuple[float, float], colour: Colour) -> None:
    """Fill a rectangle, given by its upper left corner and its size in m from the upper left corner of the wall."""
    low = (round(at[0] * _SCALE), round(at[1] * _SCALE))
    high = (round((at[0] + size[0]) * _SCALE) - 1, round((at[1] + size[1]) * _SCALE) - 1)
    cv2.rectangle(image, low, high, colour, -1)


def _plain(width: float, height: float, colour: Colour, rng: Rng) -> Texture:
    """A surface of one colour with stains, uint8 [h, w, 3]."""
    size = (max(round(width * _SCALE), 8), max(round(height * _SCALE), 8))
    stains = cv2.resize(rng.normal(0, 7, (6, 8)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 3, (size[1], size[0])).astype(np.float32)
    return np.clip(np.array(colour, np.float32) + (stains + noise)[..., None], 0, 255).astype(np.uint8)


def _wall(width: float, height: float, colour: Colour, style: _Style, shops: bool, rng: Rng) -> Texture:  # noqa: PLR0913, PLR0917
    image = _plain(width, height, colour, rng)
    dark: Colour = (colour[0] * 0.8, colour[1] * 0.8, colour[2] * 0.8)
    floors = max(int(height / style.floor), 1)
    columns = max(int((width - 0.8) / style.pitch), 1)
    margin = (width - columns * style.pitch) / 2
    blind = rng.random() < 0.12
    for floor in range(1 if shops else 0, floors):
        top = height - (floor + 1) * style.floor + 0.5
        if style.band:
            _fill(image, (0, top + style.height + 0.35), (width, 0.3), dark)
        for column in range(0 if blind else columns):
            left = margin + (column + 0.5) * style.pitch - style.width / 2
            if floor == 0 and rng.random() < 0.15:
                _door(image, left, height, rng)
            elif rng.random() < 0.95:
                _window(image, left, top, style, rng)
    if shops:
        _shops(image, width, height, rng)
    return image


def _window(image: Texture, left: float, top: float, style: _Style, rng: Rng) -> None:
    glass = _pick(_GLASS, rng)
    _fill(image, (left - 0.1, top - 0.1), (style.width + 0.2, style.height + 0.2), style.frame)
    _fill(image, (left, top), (style.width, style.height), glass)
    if rng.random() < 0.3:  # a curtain or a reflection
        _fill(image, (left, top), (style.width * rng.uniform(0.2, 0.6), style.height), _pick(_WALLS, rng))
    for pane in range(1, style.panes):
        _fill(image, (left + style.width * pane / style.panes - 0.05, top), (0.1, style.height), style.frame)
    if style.balconies:
        _fill(image, (left - 0.2, top + style.height * 0.6), (style.width + 0.4, 0.9), _pick(_WALLS, rng))
    elif rng.random() < 0.15:
        _fill(image, (left + style.width * 0.6, top + style.height + 0.15), (0.8, 0.5), (222.0, 222.0, 218.0))


def _door(image: Texture, left: float, height: float, rng: Rng) -> None:
    _fill(image, (left, height - 2.2), (1.1, 2.2), _pick(((96.0, 64.0, 44.0), (60.0, 66.0, 72.0), *_SIGNS), rng))


def _shops(image: Texture, width: float, height: float, rng: Rng) -> None:
    left = 0.3
    while left < width - 2:
        size = min(rng.uniform(2.8, 7), width - left - 0.2)
        if rng.random() < 0.2:
            _fill(image, (left, height - 2.6), (size - 0.3, 2.6), _pick(((170.0, 172.0, 174.0), *_WALLS), rng))
        else:
            _fill(image, (left, height - 2.6), (size - 0.3, 2.6), _pick(_GLASS, rng))
            for _ in range(int(rng.integers(1, 6))):
                at = left + rng.uniform(0, size - 0.5)
                tall = rng.uniform(0.4, 2.4)
                _fill(image, (at, height - tall), (rng.uniform(0.1, 0.8), tall), _pick((*_GLASS, *_SIGNS), rng))
        if rng.random() < 0.85:
            _sign(image, left, height - 2.7 - rng.uniform(0.8, 1.4), size - rng.uniform(0, 0.4), rng)
        left += size


def _sign(image: Texture, left: float, top: float, width: float, rng: Rng) -> None:
    tall = rng.uniform(0.8, 1.3)
    colour = _pick(_SIGNS, rng)
    _fill(image, (left, top), (width, tall), colour)
    ink: Colour = (240.0, 236.0, 220.0) if sum(colour) < 380 else (150.0, 30.0, 28.0)
    at, glyph = left + 0.4, rng.uniform(0.35, 0.7)
    while at < left + width - glyph - 0.2:
        for _ in range(4):  # strokes of a letter
            x, y = at + rng.uniform(0, glyph * 0.6), top + tall * rng.uniform(0.15, 0.6)
            upright = rng.random() < 0.5
            _fill(image, (x, y), (0.09, glyph * 0.6) if upright else (glyph * 0.6, 0.09), ink)
        at += glyph * 1.25


def _roof(width: float, length: float, colour: Colour, rng: Rng) -> Texture:
    """The roof seen from above, uint8 [h, w, 3]; the front is at the top."""
    image = _plain(width, length, colour, rng)
    rim: Colour = (min(colour[0] * 1.2, 255.0), min(colour[1] * 1.2, 255.0), min(colour[2] * 1.2, 255.0))
    if rng.random() < 0.45:  # sheet metal or tiles
        for at in np.arange(0, width, rng.uniform(0.5, 1.1)):
            _fill(image, (float(at), 0), (0.14, length), (colour[0] * 0.82, colour[1] * 0.82, colour[2] * 0.82))
    for _ in range(int(rng.integers(0, 7))):
        size = (float(rng.uniform(0.8, 2.4)), float(rng.uniform(0.8, 4.5)))
        at = (float(rng.uniform(0.1, 0.8)) * width, float(rng.uniform(0.1, 0.8)) * length)
        _fill(image, (at[0] - 0.1, at[1] - 0.1), (size[0] + 0.2, size[1] + 0.2), rim)
        _fill(image, at, size, _pick((*_GLASS, *_ROOFS), rng))  # a skylight or a patch
    for low, size in (((0.0, 0.0), (width, 0.35)), ((0.0, length - 0.35), (width, 0.35)), ((0.0, 0.0), (0.35, length)),
                      ((width - 0.35, 0.0), (0.35, length))):  # fmt: skip
        _fill(image, low, size, rim)
    return image


def _above(width: float, length: float, height: float, roof: Colour, wall: Colour, rng: Rng) -> list[Solid]:  # noqa: PLR0913, PLR0917
    """A gable roof, or chimneys, boxes and superstructures on a flat roof."""
    solids = []
    if rng.random() < 0.35 and min(width, length) < 14:
        shape, rise = ((0.04, 0.98) if width < length else (0.98, 0.04)), rng.uniform(1.5, 3.2)
        darker: Colour = (roof[0] * 0.9, roof[1] * 0.9, roof[2] * 0.9)
        return [block((width + 0.6, length + 0.6, rise), (0, 0, height), roof, shape, sides=darker)]
    for _ in range(int(rng.integers(0, 9))):
        x, y = rng.uniform(-0.4, 0.4) * width, rng.uniform(-0.4, 0.4) * length
        kind = rng.integers(4)
        if kind == 0:
            solids.append(block((0.7, 0.7, rng.uniform(0.8, 1.8)), (x, y, height), wall))
        elif kind == 1:
            solids.append(block((rng.uniform(0.8, 2), rng.uniform(0.8, 2), 0.9), (x, y, height), (206.0, 208.0, 208.0)))
        elif kind == 2:
            solids.append(block((rng.uniform(2, 3.5), rng.uniform(2, 3.5), 2.4), (x, y, height), roof, sides=wall))
        else:
            panel = _pick(((36.0, 48.0, 84.0), (120.0, 140.0, 156.0)), rng)
            solids.append(block((1.7, rng.uniform(2, 4), 0.5), (x, y, height), panel, (1, 0.9), 0.15))
    return solids


def _attachments(width: float, length: float, height: float, rng: Rng) -> list[Solid]:
    """Awnings, boards and vertical signs on the two walls along the length."""
    solids = []
    for side in (-1, 1):
        at = -length / 2 + 1.5
        while at < length / 2 - 1.5:
            kind, colour = rng.random(), _pick(_SIGNS, rng)
            size = float(rng.uniform(1.8, 4.5))
            if kind < 0.22:
                x = side * (width / 2 + 0.75)
                solids.append(block((1.5, size, 0.45), (x, at, 2.5), colour, (0.6, 1.0)))
            elif kind < 0.34 and height > 7:
                x, tall = side * (width / 2 + 0.5), float(rng.uniform(2, min(5, height - 4)))
                solids.append(block((0.8, 0.25, tall), (x, at, 3.2), colour))
            elif kind < 0.42:
                solids.append(block((0.6, 1.0, 1.0), (side * (width / 2 + 1.4), at, 0), colour))
            at += size + float(rng.uniform(0.5, 5))
    return solids


def hides_the_view(footprint: Footprint, height: float, camera: Floats) -> bool:
    """Whether a house of a height in m blocks the view of a camera at float64 [3] that looks at the origin."""
    for share in np.linspace(0, 0.8, 9):
        x, y, z = camera * (1 - share)
        if footprint.beyond(float(x), float(y)) < 5 and height > 0.7 * z:
            return True
    return False

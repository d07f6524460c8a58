"""Models of objects of the ten classes in their real sizes, in metres; each stands at the origin and faces north."""

from collections.abc import Callable

import numpy as np

from finetune.scenes.solids import Colour, Solid, block

Rng = np.random.Generator

_GLASS = (38.0, 44.0, 52.0)
_TYRE = (22.0, 22.0, 24.0)
_SKIN = ((224.0, 180.0, 150.0), (196.0, 145.0, 110.0), (140.0, 95.0, 70.0), (90.0, 62.0, 48.0))
_PAINT = (
    (236.0, 236.0, 234.0), (236.0, 236.0, 234.0), (205.0, 207.0, 210.0), (150.0, 153.0, 158.0), (95.0, 98.0, 104.0),
    (28.0, 29.0, 32.0), (28.0, 29.0, 32.0), (150.0, 26.0, 28.0), (30.0, 52.0, 110.0), (70.0, 110.0, 160.0),
    (190.0, 170.0, 130.0), (40.0, 80.0, 60.0), (225.0, 170.0, 40.0),
)  # fmt: skip
_CLOTHES = (
    (30.0, 32.0, 40.0), (50.0, 60.0, 90.0), (220.0, 220.0, 215.0), (160.0, 40.0, 45.0), (60.0, 100.0, 70.0),
    (200.0, 160.0, 60.0), (120.0, 120.0, 125.0), (200.0, 120.0, 150.0), (70.0, 130.0, 190.0),
)  # fmt: skip
_AWNINGS = ((40.0, 90.0, 170.0), (180.0, 40.0, 40.0), (40.0, 130.0, 80.0), (190.0, 190.0, 190.0), (200.0, 110.0, 40.0))


def _pick(colours: tuple[Colour, ...], rng: Rng) -> Colour:
    r, g, b = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.85, 1.1)
    return (float(r), float(g), float(b))


def _wheels(width: float, axles: tuple[float, ...], size: float) -> list[Solid]:
    return [
        block((0.25, size, size), (side * (width / 2 - 0.1), y, 0), _TYRE, top=(1, 0.8))
        for y in axles
        for side in (-1, 1)
    ]


def car(rng: Rng) -> list[Solid]:
    """A saloon, a hatchback or an off-roader."""
    paint, kind = _pick(_PAINT, rng), rng.integers(3)
    width, length = rng.uniform(1.7, 1.9), (rng.uniform(4.4, 4.9), rng.uniform(3.7, 4.2), rng.uniform(4.4, 4.8))[kind]
    waist, roof = (0.62, 0.58) if kind < 2 else (0.85, 0.68)
    cabin, back = ((0.52, -0.12), (0.62, -0.45), (0.68, -0.4))[kind]
    parts = _wheels(width, (-length * 0.31, length * 0.31), 0.62)
    parts.append(block((width, length, waist), (0, 0, 0.28), paint, top=(0.94, 0.97)))
    parts.append(block((width * 0.9, length * cabin, roof), (0, back, 0.28 + waist), paint, (0.8, 0.66), -0.08, _GLASS))
    lamp = (230.0, 228.0, 215.0)
    for side in (-1, 1):
        parts.append(block((0.32, 0.06, 0.16), (side * width * 0.36, length / 2, 0.6), lamp))
        parts.append(block((0.32, 0.06, 0.16), (side * width * 0.36, -length / 2, 0.6), (150.0, 20.0, 20.0)))
    return parts


def van(rng: Rng) -> list[Solid]:
    """A minibus or delivery van: one box with a slanted front and a windscreen."""
    paint = _pick(((238.0, 238.0, 236.0),) * 9 + ((190.0, 193.0, 196.0),) * 3 + _PAINT, rng)
    width, length, height = rng.uniform(1.8, 2.1), rng.uniform(4.6, 6.0), rng.uniform(1.55, 2.1)
    sides = _GLASS if rng.random() < 0.6 else paint
    parts = _wheels(width, (-length * 0.3, length * 0.32), 0.66)
    parts.append(block((width, length, 0.75), (0, 0, 0.3), paint))
    middle = length * 0.8
    parts.append(
        block(
            (width * 0.98, middle, height - 0.75), (0, -length * 0.09, 1.05), paint, (0.9, 0.86), -0.12, sides, _GLASS
        )
    )
    return parts


def truck(rng: Rng) -> list[Solid]:
    """A cab, and behind it a closed box or an open bed with a load."""
    paint, cargo = _pick(_PAINT, rng), _pick(((230.0, 230.0, 228.0), (190.0, 60.0, 40.0), (60.0, 90.0, 150.0)), rng)
    width, length = rng.uniform(2.1, 2.5), rng.uniform(5.5, 10.0)
    cab = rng.uniform(1.7, 2.2)
    bed = length - cab - 0.35
    middle = -length / 2 + bed / 2
    parts = _wheels(width, (-length * 0.38, -length * 0.22, length * 0.36), 0.95)
    parts.append(block((width * 0.8, length, 0.3), (0, 0, 0.6), (60.0, 60.0, 62.0)))
    parts.append(
        block(
            (width, cab, rng.uniform(1.7, 2.2)), (0, length / 2 - cab / 2, 0.7), paint, (0.92, 0.8), -0.1, paint, _GLASS
        )
    )
    if rng.random() < 0.6:
        parts.append(block((width, bed, rng.uniform(1.9, 2.6)), (0, middle, 0.9), cargo))
    else:
        parts.append(block((width, bed, 0.75), (0, middle, 0.9), (96.0, 84.0, 70.0), sides=cargo))
        load = _pick(((150.0, 120.0, 80.0), (110.0, 105.0, 100.0), (70.0, 70.0, 75.0)), rng)
        parts.append(block((width * 0.8, bed * 0.85, rng.uniform(0.3, 0.9)), (0, middle, 1.3), load, (0.6, 0.8)))
    return parts


def bus(rng: Rng) -> list[Solid]:
    """A city bus with a band of windows, and hatches on the roof."""
    paint = _pick(
        ((225.0, 180.0, 50.0), (60.0, 130.0, 80.0), (190.0, 50.0, 45.0), (60.0, 110.0, 180.0), *_PAINT[:3]), rng
    )
    roof = _pick(((232.0, 232.0, 230.0), paint), rng)
    width, length = rng.uniform(2.4, 2.6), rng.uniform(9.0, 13.5)
    parts = _wheels(width, (-length * 0.28, length * 0.32), 0.95)
    parts.append(block((width, length, 1.0), (0, 0, 0.35), paint))
    parts.append(block((width * 0.99, length * 0.99, 0.95), (0, 0, 1.35), _GLASS))
    parts.append(block((width, length, 0.6), (0, 0, 2.3), roof, (0.94, 0.98), 0, paint))
    for y in rng.uniform(-0.35, 0.35, 2):
        parts.append(block((1.3, rng.uniform(1.2, 2.4), 0.25), (0, float(y) * length, 2.9), (190.0, 192.0, 194.0)))
    return parts


def _person(rng: Rng, stride: float) -> list[Solid]:
    shirt, legs, skin = _pick(_CLOTHES, rng), _pick(_CLOTHES[:5], rng), _pick(_SKIN, rng)
    hair = _pick(((25.0, 20.0, 18.0), (60.0, 42.0, 30.0), (150.0, 120.0, 80.0), (120.0, 120.0, 120.0)), rng)
    tall = rng.uniform(0.88, 1.08)
    parts = [
        block((0.17, 0.2, 0.85 * tall), (side * 0.11, side * stride, 0), legs, shift=-side * stride * 0.7)
        for side in (-1, 1)
    ]
    parts.append(block((0.46, 0.27, 0.62 * tall), (0, 0, 0.82 * tall), shirt, (1.05, 0.9)))
    parts.append(block((0.2, 0.21, 0.27), (0, 0.02, 1.46 * tall), hair, (0.8, 0.8), 0, skin))
    return parts


def pedestrian(rng: Rng) -> list[Solid]:
    """A standing or walking person; one in seven carries an umbrella."""
    parts = _person(rng, float(rng.uniform(0, 0.3)))
    if rng.random() < 0.14:
        parts.append(block((1.0, 1.0, 0.25), (0, 0.05, 1.85), _pick(_CLOTHES, rng), (0.35, 0.35)))
    return parts


def people(rng: Rng, seat: float | None = None) -> list[Solid]:
    """A sitting person, on a seat of a height in m; None draws the height of a bench or a kerb."""
    seat = float(rng.uniform(0.15, 0.5)) if seat is None else seat
    shirt, legs, skin = _pick(_CLOTHES, rng), _pick(_CLOTHES[:5], rng), _pick(_SKIN, rng)
    hair = _pick(((25.0, 20.0, 18.0), (60.0, 42.0, 30.0), (230.0, 230.0, 230.0), (180.0, 30.0, 30.0)), rng)
    parts = [block((0.17, 0.55, 0.18), (side * 0.13, 0.22, seat), legs) for side in (-1, 1)]
    parts += [block((0.15, 0.16, seat + 0.05), (side * 0.14, 0.46, 0), legs) for side in (-1, 1)]
    parts.append(block((0.46, 0.28, 0.58), (0, -0.02, seat + 0.1), shirt, (1.05, 0.9), 0.1))
    parts += [block((0.12, 0.45, 0.12), (side * 0.27, 0.22, seat + 0.42), shirt) for side in (-1, 1)]
    parts.append(block((0.22, 0.24, 0.28), (0, 0.1, seat + 0.69), hair, (0.8, 0.8), 0, skin))
    return parts


def bicycle(rng: Rng) -> list[Solid]:
    """A bicycle: two thin wheels, an open frame, wide handlebars."""
    frame = _pick(_CLOTHES[1:], rng)
    parts = [block((0.06, 0.66, 0.66), (0, y, 0), (48.0, 48.0, 50.0), (1, 0.7)) for y in (-0.52, 0.52)]
    parts.append(block((0.07, 0.95, 0.09), (0, 0, 0.64), frame))
    parts += [block((0.07, 0.1, 0.5), (0, y, 0.35), frame) for y in (-0.2, 0.42)]
    parts.append(block((0.18, 0.26, 0.07), (0, -0.22, 0.9), (30.0, 28.0, 28.0)))
    parts.append(block((0.62, 0.08, 0.07), (0, 0.42, 0.98), (150.0, 150.0, 152.0)))
    if rng.random() < 0.4:
        parts.append(block((0.34, 0.26, 0.22), (0, 0.62, 0.72), (120.0, 120.0, 118.0)))
    return parts


def motorcycle(rng: Rng) -> list[Solid]:
    """A motorcycle or scooter: a wide painted body on thick wheels, a long seat, a leg shield, a lamp."""
    paint = _pick(_PAINT[5:], rng)
    parts = [block((0.2, 0.62, 0.6), (0, y, 0), _TYRE, (1, 0.75)) for y in (-0.66, 0.72)]
    parts.append(block((0.5, 1.25, 0.5), (0, -0.05, 0.28), paint, (0.8, 0.9)))
    parts.append(block((0.4, 0.85, 0.14), (0, -0.35, 0.78), (26.0, 25.0, 25.0)))
    parts.append(block((0.56, 0.24, 0.75), (0, 0.55, 0.35), paint, (0.7, 0.6), -0.08))
    parts.append(block((0.16, 0.08, 0.14), (0, 0.72, 0.8), (236.0, 232.0, 215.0)))
    parts.append(block((0.78, 0.1, 0.09), (0, 0.45, 1.06), (40.0, 40.0, 42.0)))
    if rng.random() < 0.35:
        parts.append(block((0.5, 0.42, 0.42), (0, -0.82, 0.85), _pick(_AWNINGS, rng)))
    return parts


def _cart(rng: Rng) -> tuple[list[Solid], Colour, float, float]:
    paint = _pick(((60.0, 90.0, 140.0), (150.0, 50.0, 45.0), (50.0, 110.0, 80.0), (130.0, 132.0, 135.0)), rng)
    width, length = rng.uniform(1.0, 1.25), rng.uniform(2.5, 3.1)
    parts = [block((0.14, 0.55, 0.55), (side * width / 2, -length * 0.3, 0), _TYRE, (1, 0.75)) for side in (-1, 1)]
    parts.append(block((0.13, 0.55, 0.55), (0, length * 0.42, 0), _TYRE, (1, 0.75)))
    parts.append(block((0.3, length * 0.5, 0.2), (0, length * 0.2, 0.35), paint))
    parts.append(block((0.7, 0.1, 0.08), (0, length * 0.33, 1.0), (40.0, 40.0, 42.0)))
    parts.append(block((0.12, 0.12, 0.6), (0, length * 0.36, 0.45), (60.0, 60.0, 62.0)))
    return parts, paint, width, length


def tricycle(rng: Rng) -> list[Solid]:
    """A cargo tricycle: an open bed on two rear wheels, sometimes loaded; one wheel and a saddle in front."""
    parts, paint, width, length = _cart(rng)
    bed = length * 0.55
    middle = -length / 2 + bed / 2
    parts.append(block((width, bed, 0.42), (0, middle, 0.45), (88.0, 78.0, 66.0), sides=paint))
    parts.append(block((0.3, 0.32, 0.12), (0, length * 0.1, 0.72), (30.0, 28.0, 28.0)))
    for _ in range(int(rng.integers(0, 4))):  # crates and sacks, too small to look like a roof
        load = _pick(((170.0, 140.0, 95.0), (120.0, 120.0, 110.0), (80.0, 110.0, 70.0), (210.0, 205.0, 190.0)), rng)
        size, x, y = rng.uniform(0.3, 0.55), rng.uniform(-0.25, 0.25) * width, middle + rng.uniform(-0.3, 0.3) * bed
        parts.append(block((size, size * 1.2, size * 0.8), (float(x), float(y), 0.8), load))
    return parts


def awning_tricycle(rng: Rng) -> list[Solid]:
    """A tricycle with a roof: a closed cabin at the rear, or a canopy on posts over its whole length."""
    parts, paint, width, length = _cart(rng)
    roof = _pick(_AWNINGS, rng)
    width *= 1.12
    if rng.random() < 0.5:
        cabin = length * 0.62
        parts.append(block((width, cabin, 1.15), (0, -length / 2 + cabin / 2, 0.45), roof, (0.96, 0.96), 0, paint))
        parts.append(block((width, length * 0.45, 0.08), (0, length * 0.22, 1.62), roof))
    else:
        parts.append(block((width, length * 0.55, 0.45), (0, -length * 0.22, 0.45), (70.0, 62.0, 56.0), sides=paint))
        for side in (-1, 1):
            for y in (-0.46, 0.2):
                parts.append(block((0.06, 0.06, 1.0), (side * width * 0.46, y * length, 0.7), (60.0, 60.0, 62.0)))
        parts.append(block((width * 1.05, length * 0.85, 0.12), (0, -length * 0.06, 1.68), roof, (0.9, 0.95)))
    return parts


MAKERS: dict[str, Callable[[Rng], list[Solid]]] = {
    "pedestrian": pedestrian,
    "people": people,
    "bicycle": bicycle,
    "car": car,
    "van": van,
    "truck": truck,
    "tricycle": tricycle,
    "awning-tricycle": awning_tricycle,
    "bus": bus,
    "motorcycle": motorcycle,
}

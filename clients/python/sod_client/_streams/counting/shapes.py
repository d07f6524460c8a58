"""Lines and zones, as text or from a JSON file."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sod_client.errors import InvalidConfigError, MissingFileError

Point = tuple[float, float]
Points = str | Sequence[Any]
Shapes = Points | Mapping[str, Points] | None
"""The points of one shape, `"x1,y1,x2,y2"` or numbers; several as a list of these; or a mapping by name."""
_LINES, _ZONES = "lines", "zones"


@dataclass(frozen=True)
class Shape:
    """A line of two points, or the polygon of a zone; in pixels of the frame."""

    name: str
    points: tuple[Point, ...]

    def is_outside(self, size: tuple[int, int]) -> bool:
        """Whether no part of it can be within a frame of this width and height."""
        sides = zip(zip(*self.points, strict=True), size, strict=True)
        return any(max(values) < 0 or min(values) > side for values, side in sides)


def lines(given: Shapes) -> tuple[Shape, ...]:
    """The lines of an argument.

    Raises:
        InvalidConfigError: a line has not two different points.
    """
    return _unique([_line(name, numbers) for name, numbers in _named(given, "line")])


def zones(given: Shapes) -> tuple[Shape, ...]:
    """The zones of an argument.

    Raises:
        InvalidConfigError: a zone has fewer than three points, or no area.
    """
    return _unique([_zone(name, numbers) for name, numbers in _named(given, "zone")])


def read_file(path: str | os.PathLike[str]) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    """The lines and zones of a JSON file: `{"lines": {"north": [0, 200, 640, 200]}, "zones": {"yard": [[x, y], …]}}`.

    Raises:
        MissingFileError: there is no such file.
        InvalidConfigError: it has another content.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(f"{os.fspath(path)}: no such file") from error
    except (OSError, ValueError) as error:
        raise InvalidConfigError(f"{os.fspath(path)} cannot be read as JSON: {error}") from error
    known = {_LINES, _ZONES}
    if not isinstance(content, dict) or not content or set(content) - known:
        raise InvalidConfigError(f'{os.fspath(path)} must be like {{"lines": {{"north": [0, 200, 640, 200]}}}}')
    try:
        return lines(content.get(_LINES)), zones(content.get(_ZONES))
    except InvalidConfigError as error:
        raise InvalidConfigError(f"{os.fspath(path)}: {error}") from error


def _named(given: Shapes, kind: str) -> Iterable[tuple[str, list[float]]]:
    if given is None:
        return
    if isinstance(given, Mapping):
        for name, points in given.items():
            yield str(name), _numbers(points, str(name))
        return
    if not isinstance(given, Sequence):
        raise InvalidConfigError(f"{given!r} is not a list of coordinates such as 10,200,630,200")
    is_one = isinstance(given, str) or (len(given) > 0 and isinstance(given[0], int | float))
    is_pairs = not is_one and len(given) > 0 and all(_is_pair(one) for one in given)
    for number, one in enumerate([given] if is_one or is_pairs else given, 1):
        name, points = f"{kind} {number}", one
        if isinstance(one, str) and "=" in one:
            before, _, points = one.partition("=")
            name = before.strip() or name
        yield name, _numbers(points, name)


def _is_pair(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(isinstance(one, int | float) for one in value)


def _numbers(points: object, name: str) -> list[float]:
    """The coordinates, one after another: x, y, x, y, …."""
    try:
        if isinstance(points, str):
            found = [float(one) for one in points.replace(";", ",").replace(" ", ",").split(",") if one]
        else:
            listed: Any = points
            found = [float(one) for part in listed for one in (part if _is_pair(part) else [part])]
    except (TypeError, ValueError):
        raise InvalidConfigError(f"{name}: {points!r} is not a list of coordinates such as 10,200,630,200") from None
    if not all(map(math.isfinite, found)) or len(found) % 2:
        raise InvalidConfigError(f"{name}: {points!r} is not a list of pairs x,y")
    return found


def _line(name: str, numbers: list[float]) -> Shape:
    points = _points(numbers)
    if len(points) != 2 or points[0] == points[1]:
        raise InvalidConfigError(f"{name}: a line has two different points, x1,y1,x2,y2")
    return Shape(name, points)


def _zone(name: str, numbers: list[float]) -> Shape:
    points = _points(numbers)
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, (*points[1:], *points[:1]), strict=True)) / 2
    if len(points) < 3 or area == 0:
        raise InvalidConfigError(f"{name}: a zone is a polygon of at least three points, x1,y1,x2,y2,x3,y3")
    return Shape(name, points)


def _points(numbers: list[float]) -> tuple[Point, ...]:
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _unique(shapes: list[Shape]) -> tuple[Shape, ...]:
    names = [shape.name for shape in shapes]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidConfigError(f"two lines or zones have the name {twice[0]!r}")
    return tuple(shapes)

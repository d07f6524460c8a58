"""Label files with one object per line: YOLO's and VisDrone's.

Sources: Ultralytics' data set formats (detection `class x y w h`, segmentation `class x1 y1 … xn yn`, oriented boxes
with four corners, poses with keypoints after the box; all as shares of the image); VisDrone2019-DET's toolkit readme
(x, y, w, h in pixels, score, category, truncation, occlusion; category 0 is an ignored region, 11 "others", score 0
not to be counted).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from sod.datasets.box_validation import UncheckedImage
from sod.datasets.errors import DatasetError
from sod.datasets.files import read_text
from sod.datasets.findings import Findings

_VISDRONE_IGNORED = (0, 11)
_VISDRONE_FIELDS = "x,y,w,h,score,category,truncation,occlusion"

# The class id (None of an ignored region) and the corners x1, y1, x2, y2 in one line; None if the line is wrong.
_Object = tuple[int | None, tuple[float, float, float, float]]
_Parse = Callable[[list[float], str], _Object | None]


def read_yolo_labels(
    text: Path, image: Path, findings: Findings, *, keypoints: bool, unlabelled: frozenset[int] = frozenset()
) -> UncheckedImage:
    """The labels of an image in YOLO's format; polygons and oriented boxes become their enclosing boxes.

    Args:
        text: the label file.
        image: the image.
        findings: receives wrong lines.
        keypoints: whether keypoints follow each box, which are left out.
        unlabelled: ids of classes without labels in this image.
    """

    def parse(values: list[float], place: str) -> _Object | None:
        class_id, numbers = values[0], values[1:]
        if class_id != int(class_id):
            return None
        if len(numbers) == 4 or (keypoints and len(numbers) > 4):
            x, y, w, h = numbers[:4]
            return int(class_id), (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        if len(numbers) < 6 or len(numbers) % 2:
            return None
        findings.warning("polygon or oriented box, taken as its enclosing box", place)
        corners = np.array(numbers).reshape(-1, 2)
        (x1, y1), (x2, y2) = corners.min(0).tolist(), corners.max(0).tolist()
        return int(class_id), (x1, y1, x2, y2)

    objects, lines = _read(text, None, parse, "“class x y w h”", findings)
    return replace(_image(image, text, objects, lines), relative=True, unlabelled=unlabelled)


def read_visdrone_labels(text: Path, image: Path, findings: Findings) -> UncheckedImage:
    """The labels of an image in VisDrone's format; class ids are the categories less one.

    Args:
        text: the label file.
        image: the image.
        findings: receives wrong lines.
    """

    def parse(values: list[float], _: str) -> _Object | None:
        if len(values) != 8 or values[5] != int(values[5]):
            return None
        x, y, w, h, score, category = values[:6]
        ignored = score == 0 or category in _VISDRONE_IGNORED
        return None if ignored else int(category) - 1, (x, y, x + w, y + h)

    objects, lines = _read(text, ",", parse, f"“{_VISDRONE_FIELDS}”", findings)
    return _image(image, text, objects, lines)


def is_visdrone(text: Path) -> bool | None:
    """Whether the first line of a label file has VisDrone's commas; None if the file has no line."""
    try:
        first = next((line for line in read_text(text).splitlines() if line.strip()), None)
    except DatasetError:  # reported when the labels are read
        return None
    return None if first is None else "," in first


def _read(
    text: Path, separator: str | None, parse: _Parse, form: str, findings: Findings
) -> tuple[list[_Object], list[int]]:
    """The objects of a label file, and the numbers of their lines."""
    objects: list[_Object] = []
    lines: list[int] = []
    try:
        content = read_text(text)
    except DatasetError as error:
        findings.error("label file that cannot be read", str(error))
        return objects, lines
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{text}:{number}"
        try:
            found = parse([float(v) for v in line.strip().rstrip(",").split(separator)], place)
        except (ValueError, OverflowError):
            found = None
        if found is None:
            findings.error(f"line that is not {form}", f"{place}: {line.strip()[:60]!r}")
            continue
        objects.append(found)
        lines.append(number)
    return objects, lines


def _image(image: Path, text: Path, objects: list[_Object], lines: list[int]) -> UncheckedImage:
    return UncheckedImage(
        image,
        np.array([box for _, box in objects], float).reshape(-1, 4),
        np.array([-1 if class_id is None else class_id for class_id, _ in objects], np.int64),
        np.array([class_id is None for class_id, _ in objects], np.bool_),
        lambda i: f"{text}:{lines[i]}",
    )

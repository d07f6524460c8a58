"""Checks the images and boxes of a data set one by one."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finetune.data.dataset import LabelledImage
from finetune.data.findings import Findings
from sod.errors import InvalidImageError
from sod.image import read_header

_TOLERANCE = 1.0  # px by which a box may exceed its image without a warning: labelling tools round

Boxes = NDArray[np.float64]


class UncheckedImage(NamedTuple):
    """An image as a label file describes it.

    Attributes:
        image: path of the file.
        boxes: float64 [n, 4], xyxy, in pixels or as shares of the sides.
        class_ids: int64 [n].
        unlabelled: ids of classes that may appear in the image without a label.
    """

    image: Path
    boxes: Boxes
    class_ids: NDArray[np.int64]
    unlabelled: frozenset[int]


def validated(
    images: Iterable[UncheckedImage],
    classes: int,
    findings: Findings,
    *,
    label_file: str = "",
    relative: bool = False,
) -> Iterator[LabelledImage]:
    """Yield the images that can be read, with their valid boxes, clipped to the image.

    Args:
        images: what the label files say.
        classes: number of classes.
        findings: receives what is wrong.
        label_file: name of the file that describes the images, for the messages.
        relative: whether boxes are shares of the sides instead of pixels.
    """
    for image in images:
        where = f"{label_file}: {image.image}" if label_file else str(image.image)
        try:
            width, height = read_header(image.image.read_bytes()).shown_size
        except FileNotFoundError:
            findings.error("missing image", where)
            continue
        except (OSError, InvalidImageError) as error:
            findings.error("image that cannot be read", f"{where}: {error}")
            continue
        boxes = image.boxes * ([width, height] * 2 if relative else 1.0)
        boxes, ids = _clipped(boxes, image.class_ids, (width, height), where, findings)
        known = (ids >= 0) & (ids < classes)
        for unknown in sorted(set(ids[~known].tolist())):
            findings.error("unknown class", f"{where}: class {unknown} of {classes}")
        yield LabelledImage(image.image, width, height, boxes[known].astype(np.float32), ids[known], image.unlabelled)


def _clipped(
    boxes: Boxes, ids: NDArray[np.int64], size: tuple[int, int], where: str, findings: Findings
) -> tuple[Boxes, NDArray[np.int64]]:
    """The valid boxes, clipped to the image, and their class ids."""
    clipped = np.clip(np.nan_to_num(boxes, nan=-1.0), 0, np.array([*size, *size], float))
    kept = np.ones(len(boxes), bool)
    for i, (box, inner) in enumerate(zip(boxes, clipped, strict=True)):
        text = f"{where}: {', '.join(f'{v:.0f}' for v in box)} in {size[0]} by {size[1]}"
        if not np.isfinite(box).all():
            kept[i] = False
            findings.error("box with a coordinate that is not a number", text)
        elif (box[2:] - box[:2]).min() <= 0:
            kept[i] = False
            findings.warning("box without an area, left out", text)
        elif (inner[2:] - inner[:2]).min() <= 0:
            kept[i] = False
            findings.error("box outside its image", text)
        elif np.abs(inner - box).max() > _TOLERANCE:
            findings.warning("box that exceeds its image, clipped", text)
    return clipped[kept], ids[kept]

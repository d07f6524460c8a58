"""Checks the images and boxes of a data set, and cuts boxes at the edges of their image."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sod.datasets.dataset import LabelledImage
from sod.datasets.findings import Findings
from sod.errors import InvalidImageError
from sod.image import ImageHeader, read_header

_TOLERANCE = 1.0  # px by which a box may exceed its image without a warning: labelling tools round

Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UncheckedImage:
    """An image as a label file describes it.

    Attributes:
        image: path of the file.
        boxes: float64 [n, 4], xyxy, in pixels or as shares of the sides.
        class_ids: int64 [n]; -1 where `ignored`.
        ignored: bool [n]; whether the box is an ignored region, not an object.
        place: the file and line, or annotation, of box i.
        source: the file that describes the image, and perhaps others; empty if there is none.
        unlabelled: ids of classes that may appear in the image without a label.
        relative: whether boxes are shares of the sides instead of pixels.
        size: (width, height) of the image in the label file; None if it states none.
    """

    image: Path
    boxes: Boxes
    class_ids: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    place: Callable[[int], str]
    source: str = ""
    unlabelled: frozenset[int] = frozenset()
    relative: bool = False
    size: tuple[int, int] | None = None


def validated(images: Iterable[UncheckedImage], classes: int | None, findings: Findings) -> Iterator[LabelledImage]:
    """Yield the images that can be read, with their valid boxes, cut at the edges of the image.

    Args:
        images: what the label files say.
        classes: number of classes; None if the labels do not state it.
        findings: receives what is wrong.
    """
    for image in images:
        where = f"{image.source}: {image.image}" if image.source else str(image.image)
        try:
            header = read_header(image.image.read_bytes())
        except FileNotFoundError:
            findings.error("missing image", where)
            continue
        except (OSError, InvalidImageError) as error:
            findings.error("image that cannot be read", f"{where}: {error}")
            continue
        if not _has_labelled_size(image, header, where, findings):
            continue  # its boxes lie at wrong places
        boxes = image.boxes * (header.shown_size * 2 if image.relative else 1.0)
        boxes, kept = _clipped(image, boxes, header.shown_size, findings)
        kept &= _known(image, classes, findings)
        objects = _first_of_each(image, boxes, kept & ~image.ignored, findings)
        yield LabelledImage(
            image.image,
            *header.shown_size,
            boxes[objects].astype(np.float32),
            image.class_ids[objects],
            boxes[kept & image.ignored].astype(np.float32),
            image.unlabelled,
        )


def _has_labelled_size(image: UncheckedImage, header: ImageHeader, where: str, findings: Findings) -> bool:
    """Whether the image has the size that its labels state, if they state one."""
    shown = header.shown_size
    if image.size is None or image.size == shown:
        return True
    sizes = f"{where}: {shown[0]} by {shown[1]}, but labelled as {image.size[0]} by {image.size[1]}"
    if image.size == (header.width, header.height):
        findings.error(
            "image that its EXIF orientation turns, with labels of the image before the turn",
            f"{sizes}; remove the orientation from the file, or label the image as it is shown",
        )
    else:
        findings.error(
            "image of another size than its labels state", f"{sizes}; take the images that were labelled, or scale both"
        )
    return False


def _clipped(
    image: UncheckedImage, boxes: Boxes, size: tuple[int, int], findings: Findings
) -> tuple[Boxes, NDArray[np.bool_]]:
    """The boxes cut at the edges of the image, and whether each is valid."""
    clipped = np.clip(np.nan_to_num(boxes, nan=-1.0), 0, np.array(size * 2, float))
    finite = np.isfinite(boxes).all(1)
    with np.errstate(invalid="ignore"):  # of infinite coordinates
        sides = boxes[:, 2:] - boxes[:, :2]
        with_area = finite & (sides.min(1, initial=np.inf) > 0)
    inside = with_area & ((clipped[:, 2:] - clipped[:, :2]).min(1, initial=np.inf) > 0)
    exact = inside & (np.abs(clipped - np.where(finite[:, None], boxes, 0)).max(1, initial=0) <= _TOLERANCE)
    for i in np.nonzero(~exact)[0].tolist():
        text = f"{image.place(i)}: {', '.join(f'{v:.0f}' for v in boxes[i])} in {size[0]} by {size[1]}"
        if not finite[i]:
            findings.error("box with a coordinate that is not a number", text)
        elif not with_area[i]:
            negative = sides[i].min() < 0
            kind = "box of negative width or height" if negative else "box without an area"
            findings.warning(f"{kind}, left out", text)
        elif not inside[i]:
            findings.error("box outside its image", text)
        else:
            findings.warning("box that exceeds its image, clipped", text)
    return clipped, inside


def _known(image: UncheckedImage, classes: int | None, findings: Findings) -> NDArray[np.bool_]:
    """Whether the class of each box exists."""
    known = image.ignored | ((image.class_ids >= 0) & (image.class_ids < (np.inf if classes is None else classes)))
    for i in np.nonzero(~known)[0].tolist():
        of = "" if classes is None else f" of {classes} (0 to {classes - 1})"
        findings.error("unknown class", f"{image.place(i)}: class {image.class_ids[i]}{of}")
    return np.asarray(known, np.bool_)


def _first_of_each(
    image: UncheckedImage, boxes: Boxes, objects: NDArray[np.bool_], findings: Findings
) -> NDArray[np.bool_]:
    """The objects without those that repeat the class and the box of an earlier one."""
    indices = np.nonzero(objects)[0]
    keys = np.column_stack([image.class_ids[indices], boxes[indices].round(3)])
    first = indices[np.unique(keys, axis=0, return_index=True)[1]] if len(indices) else indices
    for i in np.setdiff1d(indices, first).tolist():
        findings.warning("object labelled twice, counted once", image.place(i))
    kept = np.zeros(len(objects), np.bool_)
    kept[first] = True
    return kept

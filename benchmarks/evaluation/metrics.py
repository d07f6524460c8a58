"""COCO metrics of detections and labels, by pycocotools.

Source: COCO detection evaluation (cocoeval.py); ignored regions as in VisDrone2019-DET's toolkit: a detection with
more than half of its area in one of them is neither right nor wrong. Nor is one of a class that its image leaves
unlabelled.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sod.datasets.dataset import Boxes, Dataset, LabelledImage
from sod.detections import Detections

_IGNORED_SHARE = 0.5  # a detection with more of its area in an ignored region is left out
# The score thresholds of the F1 curves: float64 [101].
SCORES: NDArray[np.float64] = np.linspace(0, 1, 101)
_IOU_50 = 0
_AREA_ALL = 0


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Metrics of one class, 0..1; NaN if no object of it is labelled, or the model does not have it.

    Attributes:
        name: of the class.
        labelled: number of labelled objects.
        ap: mean over IoU 0.5 to 0.95.
        ap50: at IoU 0.5.
        precision50: float64 [101], precision at recall 0, 0.01, … 1 and IoU 0.5.
        f1: float64 [101], F1 at IoU 0.5 of the detections with a score of at least 0, 0.01, … 1.
    """

    name: str
    labelled: int
    ap: float
    ap50: float
    precision50: NDArray[np.float64]
    f1: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """COCO's summary metrics, 0..1; NaN if no object of that size is labelled.

    `f1` is float64 [101], the mean over the classes of F1 at IoU 0.5 by score threshold 0, 0.01, … 1.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar: float
    f1: NDArray[np.float64]
    classes: tuple[ClassFigures, ...]

    @property
    def best_threshold(self) -> float:
        """The score threshold at which the mean F1 is highest; NaN if no object is labelled."""
        return float("nan") if np.isnan(self.f1).all() else float(SCORES[np.nanargmax(self.f1)])

    @property
    def best_f1(self) -> float:
        """The mean F1 at that threshold."""
        return float("nan") if np.isnan(self.f1).all() else float(np.nanmax(self.f1))


class ModelClasses(NamedTuple):
    """Which classes a model has, where it is compared with one that has others.

    Attributes:
        known: bool [n]; metrics of other classes are NaN.
        counted: bool [n]; the classes in the means.
    """

    known: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def evaluate(
    dataset: Dataset,
    detections: Sequence[Detections],
    class_names: Sequence[str],
    max_detections: int = 100,
    model_classes: ModelClasses | None = None,
) -> Figures:
    """Compute the metrics.

    Args:
        dataset: images and labels, with ids of `class_names`.
        detections: of each image, in the order of the images, with ids of `class_names`.
        class_names: by class id.
        max_detections: number of detections of an image and class that count, those with the highest scores; COCO
            counts 100, VisDrone 500.
        model_classes: which of the classes the model has; None means all.
    """
    every = np.ones(len(class_names), np.bool_)
    known, counted = model_classes or ModelClasses(every, every)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth, rows = COCO(), _rows(dataset, detections)
        truth.dataset = _truth(dataset, class_names)
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(rows) if len(rows) else _no_results(truth), "bbox")
        run.params.maxDets = [1, 10, max_detections]
        run.evaluate()
        run.accumulate()
    precision = np.where(run.eval["precision"] < 0, np.nan, run.eval["precision"])  # [IoU, recall, class, area, max]
    recall = np.where(run.eval["recall"] < 0, np.nan, run.eval["recall"])
    precision[:, :, ~known] = np.nan
    f1 = _f1(run)
    f1[~known] = np.nan
    counts = np.bincount(np.concatenate([image.class_ids for image in dataset.images]))
    return Figures(
        ap=_mean(precision[:, :, counted, _AREA_ALL, -1]),
        ap50=_mean(precision[_IOU_50, :, counted, _AREA_ALL, -1]),
        ap75=_mean(precision[5, :, counted, _AREA_ALL, -1]),
        ap_small=_mean(precision[:, :, counted, 1, -1]),
        ap_medium=_mean(precision[:, :, counted, 2, -1]),
        ap_large=_mean(precision[:, :, counted, 3, -1]),
        ar=_mean(recall[:, counted, _AREA_ALL, -1]),
        f1=np.array([_mean(at_score) for at_score in f1[counted].T]),
        classes=tuple(
            ClassFigures(
                name=name,
                labelled=int(counts[index]) if index < len(counts) else 0,
                ap=_mean(precision[:, :, index, _AREA_ALL, -1]),
                ap50=_mean(precision[_IOU_50, :, index, _AREA_ALL, -1]),
                precision50=precision[_IOU_50, :, index, _AREA_ALL, -1],
                f1=f1[index],
            )
            for index, name in enumerate(class_names)
        ),
    )


def counting(found: Detections, image: LabelledImage) -> NDArray[np.bool_]:
    """Which detections are right or wrong: neither in an ignored region nor of an unlabelled class; bool [n]."""
    return outside(found.boxes, image.ignored) & ~np.isin(found.class_ids, list(image.unlabelled))


def outside(boxes: Boxes, ignored: Boxes) -> NDArray[np.bool_]:
    """Which boxes have at most half of their area in any one ignored region.

    Args:
        boxes: float32 [n, 4], xyxy.
        ignored: float32 [k, 4], xyxy.

    Returns:
        bool [n].
    """
    if not len(ignored) or not len(boxes):
        return np.ones(len(boxes), np.bool_)
    low = np.maximum(boxes[:, None, :2], ignored[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], ignored[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    return np.asarray(shared.max(1) <= _IGNORED_SHARE * area)


def _f1(run: COCOeval) -> NDArray[np.float64]:
    """F1 at IoU 0.5 by class and score threshold, float64 [classes, 101]; NaN where no object is labelled."""
    classes, areas, images = len(run.params.catIds), len(run.params.areaRng), len(run.params.imgIds)
    curves = np.full((classes, len(SCORES)), np.nan)
    for class_id in range(classes):
        first = class_id * areas * images + _AREA_ALL * images
        of_class = [one for one in run.evalImgs[first : first + images] if one is not None]
        labelled = sum(int((one["gtIgnore"] == 0).sum()) for one in of_class)
        if not labelled:
            continue
        scores = np.concatenate([np.asarray(one["dtScores"], np.float32) for one in of_class])
        right = np.concatenate([one["dtMatches"][_IOU_50] > 0 for one in of_class])
        ascending = np.argsort(scores)
        below = np.searchsorted(scores[ascending], SCORES.astype(np.float32))
        # How many of the detections from each position on are right.
        right_from = np.append(np.cumsum(right[ascending][::-1])[::-1], 0)
        curves[class_id] = 2 * right_from[below] / (len(scores) - below + labelled)
    return curves


def _truth(dataset: Dataset, class_names: Sequence[str]) -> dict[str, object]:
    annotations: list[dict[str, object]] = []
    for image_id, image in enumerate(dataset.images, 1):
        for box, class_id in zip(_sized(image.boxes).tolist(), image.class_ids.tolist(), strict=True):
            if class_id in image.unlabelled:
                continue
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": class_id,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    return {
        "info": {},
        "images": [
            {"id": image_id, "width": image.width, "height": image.height}
            for image_id, image in enumerate(dataset.images, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for index, name in enumerate(class_names)],
    }


def _rows(dataset: Dataset, detections: Sequence[Detections]) -> NDArray[np.float64]:
    """The results as pycocotools takes them: float64 [n, 7], image id, x, y, w, h, score, class id."""
    rows = [np.zeros((0, 7))]
    for image_id, (image, found) in enumerate(zip(dataset.images, detections, strict=True), 1):
        keep = counting(found, image)
        boxes = _sized(found.boxes[keep])
        rows.append(np.column_stack([np.full(len(boxes), image_id), boxes, found.scores[keep], found.class_ids[keep]]))
    return np.concatenate(rows)


def _sized(boxes: Boxes) -> Boxes:
    """x1, y1, x2, y2 → x, y, w, h."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)


def _no_results(truth: COCO) -> COCO:
    """Results without a detection; `loadRes` refuses an empty array."""
    nothing = COCO()
    nothing.dataset = {**truth.dataset, "annotations": []}
    nothing.createIndex()
    return nothing


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of the values that are not NaN; NaN if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")

"""Measures of tracking: MOTA and the switches of ids (CLEAR MOT), IDF1, and HOTA.

Sources: Bernardin and Stiefelhagen, Evaluating Multiple Object Tracking Performance, 2008; Ristani et al., Performance
Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016; Luiten et al., HOTA, IJCV 2021.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sod_client._streams.tracking.byte_track import overlap

Frames = Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]
"""For each frame ids [N] and boxes [N, 4]."""


def mota(truth: Frames, found: Frames, least_iou: float = 0.3) -> tuple[float, int]:
    """MOTA, and how often an object's id changed."""
    last: dict[int, int] = {}
    missed = wrong = switches = total = 0
    for (ids, boxes), (other_ids, other_boxes) in zip(truth, found, strict=True):
        iou = overlap(boxes, other_boxes)
        kept = np.array([[last.get(int(one)) == int(other) for other in other_ids] for one in ids]).reshape(iou.shape)
        cost = np.where(iou >= least_iou, 1.0 - iou - 10.0 * kept, 1e3)  # what matched before stays matched
        rows, columns = linear_sum_assignment(cost)
        matched = [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if iou[r, c] >= least_iou]
        for row, column in matched:
            one, other = int(ids[row]), int(other_ids[column])
            switches += last.get(one, other) != other
            last[one] = other
        total += len(ids)
        missed += len(ids) - len(matched)
        wrong += len(other_ids) - len(matched)
    return 1 - (missed + wrong + switches) / total, switches


def idf1(truth: Frames, found: Frames, least_iou: float = 0.5) -> float:
    """IDF1: the share of boxes that are right if each object has one id in all of the film."""
    rows, columns = _positions(truth), _positions(found)
    together = np.zeros((len(rows), len(columns)))
    for (ids, boxes), (other_ids, other_boxes) in zip(truth, found, strict=True):
        mine = np.array([rows[int(one)] for one in ids], np.intp)
        other = np.array([columns[int(one)] for one in other_ids], np.intp)
        together[np.ix_(mine, other)] += overlap(boxes, other_boxes) >= least_iou
    r, c = linear_sum_assignment(-together)
    total = sum(len(ids) for ids, _ in truth) + sum(len(ids) for ids, _ in found)
    return 2 * float(together[r, c].sum()) / max(1, total)


def hota(truth: Frames, found: Frames) -> float:
    """HOTA, the mean over IoU thresholds from 0.05 to 0.95."""
    rows, columns = _positions(truth), _positions(found)
    of_row, of_column = np.zeros(len(rows)), np.zeros(len(columns))
    together = np.zeros((len(rows), len(columns)))
    frames: list[tuple[Any, Any, NDArray[np.float64]]] = []
    for (ids, boxes), (other_ids, other_boxes) in zip(truth, found, strict=True):
        iou = overlap(boxes, other_boxes)
        mine = np.array([rows[int(one)] for one in ids], np.intp)
        other = np.array([columns[int(one)] for one in other_ids], np.intp)
        of_row[mine] += 1
        of_column[other] += 1
        union = iou.sum(0, keepdims=True) + iou.sum(1, keepdims=True) - iou
        together[np.ix_(mine, other)] += np.divide(iou, union, out=np.zeros_like(iou), where=union > 0)
        frames.append((mine, other, iou))
    alignment = together / (of_row[:, None] + of_column[None] - together)
    scores = []
    for least in np.arange(0.05, 0.99, 0.05):
        matches, true = np.zeros_like(together), 0
        for mine, other, iou in frames:
            r, c = linear_sum_assignment(-alignment[np.ix_(mine, other)] * iou)
            good = iou[r, c] >= least - 1e-9
            matches[mine[r[good]], other[c[good]]] += 1
            true += int(good.sum())
        association = (matches**2 / np.maximum(1, of_row[:, None] + of_column[None] - matches)).sum() / max(1, true)
        scores.append(np.sqrt(association * true / (of_row.sum() + of_column.sum() - true)))
    return float(np.mean(scores))


def _positions(frames: Frames) -> dict[int, int]:
    """A number from 0 for each id."""
    return {one: k for k, one in enumerate(sorted({int(one) for ids, _ in frames for one in ids}))}

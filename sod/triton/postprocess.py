"""Triton model: the detector's raw output → detections in source pixels. One for all models."""

import os
from dataclasses import replace

import numpy as np

from sod.detections import Detections
from sod.errors import SodError
from sod.interface import (
    BOXES,
    CLASS_AGNOSTIC,
    CLASS_IDS,
    ERROR,
    IOU_THRESHOLD,
    NUM_DETECTIONS,
    RAW_BOXES,
    RAW_SCORES,
    SCALE_FACTOR,
    SCORE_THRESHOLD,
    SCORES,
)
from sod.nms import NmsConfig, multiclass_nms
from sod.triton.requests import Arrays, ModelConfig, Request, RequestPool


class TritonPythonModel:
    """Threshold, NMS and padding; boxes without an area are left out, as in PaddleX. Shapes in docs/ensemble.md.

    Without the input `error` every image is valid; `iou_threshold` and `class_agnostic` replace the configuration's.

    Parameters in config.pbtxt: the fields of `sod.nms.NmsConfig`.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the configuration."""
        config = ModelConfig(args)
        default = NmsConfig()
        self._nms = NmsConfig(
            score_threshold=float(config.parameter("score_threshold", str(default.score_threshold))),
            nms_top_k=int(config.parameter("nms_top_k", str(default.nms_top_k))),
            keep_top_k=int(config.parameter("keep_top_k", str(default.keep_top_k))),
            iou_threshold=float(config.parameter("iou_threshold", str(default.iou_threshold))),
        )
        names = [RAW_BOXES, RAW_SCORES, SCALE_FACTOR, SCORE_THRESHOLD, IOU_THRESHOLD, CLASS_AGNOSTIC, ERROR]
        self._pool = RequestPool(self._compute, names, int(config.parameter("threads", str(os.cpu_count()))))

    def execute(self, requests: list[Request]) -> None:
        """Hand the requests to the thread pool."""
        self._pool.submit(requests)

    def finalize(self) -> None:
        """Finish the requests in the pool."""
        self._pool.close()

    def _compute(self, inputs: Arrays) -> Arrays:
        thresholds, scores = inputs[SCORE_THRESHOLD], inputs[RAW_SCORES]
        if thresholds.shape[1] != scores.shape[1]:
            raise SodError(
                f"{SCORE_THRESHOLD} has {thresholds.shape[1]} values; this model has {scores.shape[1]} classes "
                "and needs one value for each"
            )
        if np.isnan(thresholds).any():
            raise SodError(f"{SCORE_THRESHOLD} contains NaN; send numbers from 0 to 1")
        errors = inputs.get(ERROR, np.full((len(scores), 1), b"", object))
        detections = [
            Detections.empty() if error else multiclass_nms(boxes, class_scores, threshold, factor, nms).with_area()
            for boxes, class_scores, threshold, factor, nms, error in zip(
                inputs[RAW_BOXES],
                scores,
                thresholds,
                inputs[SCALE_FACTOR],
                self._nms_of_images(inputs, len(scores)),
                errors.ravel(),
                strict=True,
            )
        ]
        return {**pad(detections), ERROR: errors}

    def _nms_of_images(self, inputs: Arrays, count: int) -> list[NmsConfig]:
        """The configuration of each image: the model's, with what the request says."""
        configs = [self._nms] * count
        if IOU_THRESHOLD in inputs:
            values = inputs[IOU_THRESHOLD].ravel().tolist()
            if wrong := [value for value in values if not 0 <= value <= 1]:  # NaN, too
                raise SodError(f"{IOU_THRESHOLD} is {wrong[0]:g}; send a number from 0 to 1")
            configs = [replace(one, iou_threshold=value) for one, value in zip(configs, values, strict=True)]
        if CLASS_AGNOSTIC in inputs:
            values = inputs[CLASS_AGNOSTIC].ravel().tolist()
            configs = [replace(one, class_agnostic=value) for one, value in zip(configs, values, strict=True)]
        return configs


def pad(detections: list[Detections]) -> Arrays:
    """Stack the detections of a batch, padded with zeros to the longest.

    Returns:
        `boxes` float32 [N, M, 4], `scores` float32 [N, M], `class_ids` int32 [N, M], `num_detections` int32 [N, 1].
    """
    n, m = len(detections), max(map(len, detections))
    boxes = np.zeros((n, m, 4), np.float32)
    scores = np.zeros((n, m), np.float32)
    class_ids = np.zeros((n, m), np.int32)
    for i, one in enumerate(detections):
        boxes[i, : len(one)], scores[i, : len(one)], class_ids[i, : len(one)] = one.boxes, one.scores, one.class_ids
    counts = np.array([[len(one)] for one in detections], np.int32)
    return {BOXES: boxes, SCORES: scores, CLASS_IDS: class_ids, NUM_DETECTIONS: counts}

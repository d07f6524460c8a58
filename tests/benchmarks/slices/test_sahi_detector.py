"""SAHI with a detector of the model repository finds what the detector alone finds."""

import cv2
import numpy as np
import pytest

from benchmarks.performance.baselines.detector_config import class_count, read_detector
from sod.frame import clip
from sod.image import scale_factor, to_pixels
from sod.matching import matched_share
from sod.nms import multiclass_nms
from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY

pytest.importorskip("sahi", reason="SAHI is not installed (dev.lock has it)")


def test_slices_by_sahi(tmp_path):
    from benchmarks.slices.sahi_detector import SahiDetector, detect

    scene = cv2.imread(str(REPOSITORY.parent / "docs/street.jpg"))
    config = read_detector(REPOSITORY, DEMO, "cpu_high_performance")
    model = SahiDetector(config, class_count(REPOSITORY, DEMO), 0.4)
    pixels = to_pixels(scene, config.size)
    boxes, scores = model.model.infer(pixels)
    alone = multiclass_nms(boxes[0], scores[0], np.full(10, 0.4, np.float32), scale_factor(scene, config.size))
    alone = clip(alone, scene.shape[1], scene.shape[0])
    assert len(alone) > 30
    # One slice holds the image.
    file = tmp_path / "scene.png"
    cv2.imwrite(str(file), scene)
    once = detect(model, str(file), max(scene.shape))
    assert matched_share(alone, once) > 0.85  # NMS by IoS removes more than the detector's own by IoU
    # The copy at the right is found too.
    cv2.imwrite(str(file), np.tile(scene, (1, 2, 1)))
    twice = detect(model, str(file), min(scene.shape[:2]))
    assert (twice.boxes[:, 2] > scene.shape[1]).sum() > 0.5 * len(alone)

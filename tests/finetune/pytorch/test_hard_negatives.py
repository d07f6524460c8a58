"""Hard negatives: detections that no label touches."""

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="PyTorch is in no lock file: pip install torch==2.13.0 in an environment of its own to run these"
)
from finetune.data.sources import AERIAL, CLASSES  # noqa: E402
from finetune.pytorch.evaluation import to_tensor  # noqa: E402
from finetune.pytorch.hard_negatives import false_detections  # noqa: E402
from finetune.pytorch.model import Detector  # noqa: E402
from finetune.pytorch.weights import load_onnx  # noqa: E402
from finetune.training.augmentation import CachedImage, whole_image  # noqa: E402
from sod.image import decode_image  # noqa: E402
from tests.export.conftest import DEMO  # noqa: E402
from tests.project.repository import ROOT  # noqa: E402


@pytest.fixture(scope="module")
def street() -> CachedImage:
    pixels = decode_image((ROOT / "docs/examples/munich-street.jpg").read_bytes())[..., ::-1]
    return CachedImage(np.ascontiguousarray(pixels), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


@pytest.fixture(scope="module")
def detector(street: CachedImage) -> Detector:
    model = Detector()
    load_onnx(model, DEMO, to_tensor([whole_image(street)]))
    return model.eval()


def test_without_labels_every_detection_is_false(detector: Detector, street: CachedImage) -> None:
    boxes = false_detections(detector, street, AERIAL)
    assert 5 < len(boxes) <= 200
    assert boxes.dtype == np.float32
    assert ((boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] < 1.1) & (boxes[:, :2] > -0.1)).all()


def test_what_a_label_touches_is_not_false(detector: Detector, street: CachedImage) -> None:
    boxes = false_detections(detector, street, AERIAL)
    half = boxes[: len(boxes) // 2]
    labelled = CachedImage(street.pixels, half, np.full(len(half), CLASSES.index("car"), np.int64))
    left = false_detections(detector, labelled, AERIAL)
    assert 0 < len(left) < len(boxes)
    shared = np.minimum(left[:, None, 2:], half[:, 2:]) - np.maximum(left[:, None, :2], half[:, :2])
    assert not (shared.clip(0).prod(2) > 0.11 * (left[:, 2:] - left[:, :2]).prod(1)[:, None]).any()


def test_classes_without_labels_do_not_count(detector: Detector, street: CachedImage) -> None:
    nothing = AERIAL.__class__(AERIAL.folder, frozenset(CLASSES), AERIAL.split)
    assert len(false_detections(detector, street, nothing)) == 0

"""Training batches: a resumed training sees the same ones. Runs in ppdet's environment."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ppdet", reason="runs in ppdet's environment, by tests/finetune/test_command.py")
from finetune.data.reader import read_dataset
from finetune.paddledet.train import ImageCache, training_inputs
from sod.datasets.findings import Findings
from tests.finetune.settings import SETTINGS


@pytest.fixture(scope="module")
def images(four) -> ImageCache:
    return ImageCache(read_dataset(four, Findings()).train)


def test_a_batch_is_determined_by_its_number(images):
    running = images.batches(SETTINGS, 0)
    first, second, third = (next(running) for _ in range(3))
    again = next(images.batches(SETTINGS, 2))
    for (one, _), (two, _) in zip(third, again, strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)
        np.testing.assert_array_equal(one.boxes, two.boxes)
    assert any((one.pixels != two.pixels).any() for (one, _), (two, _) in zip(first, second, strict=True))


def test_each_epoch_has_every_image(images):
    batches = images.batches(replace(SETTINGS, batch=2), 0)
    for _ in range(3):
        seen = [labelled.image.name for _ in range(2) for _, labelled in next(batches)]
        assert len(set(seen)) == 4


def test_objects_are_padded_and_unlabelled_classes_masked(images):
    batch = next(images.batches(SETTINGS, 0))
    masked = [(image, replace(labelled, unlabelled=frozenset({3}))) for image, labelled in batch]
    inputs = training_inputs(masked, 10)
    most = max(len(image.boxes) for image, _ in batch)
    assert inputs["image"].shape == [4, 3, 320, 320]
    assert inputs["gt_bbox"].shape == [4, most, 4]
    assert inputs["pad_gt_mask"].numpy().sum() == sum(len(image.boxes) for image, _ in batch)
    labelled = inputs["labelled"].numpy()
    assert (labelled[:, 0, 3] == 0).all()
    assert labelled.sum() == 4 * 9

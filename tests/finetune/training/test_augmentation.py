"""Training crops: boxes follow their objects."""

import numpy as np
import pytest

from finetune.training.augmentation import Augmentation, CachedImage, random_crop, whole_image

SIDES = (400, 500)


def image() -> CachedImage:
    """White rectangles on black at different places, so that every flip can be recognised."""
    pixels = np.zeros((*SIDES, 3), np.uint8)
    boxes = np.array([[50, 40, 110, 70], [300, 60, 330, 130], [210, 250, 300, 330]], np.float32)
    for x1, y1, x2, y2 in boxes.astype(int):
        pixels[y1:y2, x1:x2] = 255
    return CachedImage(pixels, boxes / np.array([500, 400] * 2, np.float32), np.array([0, 3, 5], np.int64))


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("size", [320, 640])
def test_boxes_follow_their_objects(size: int, turn: bool) -> None:
    checked = 0
    for seed in range(40):
        made = random_crop(image(), size, Augmentation(turn), np.random.default_rng(seed))
        assert made.pixels.shape == (size, size, 3)
        assert made.pixels.dtype == np.uint8
        for box in made.boxes:
            x1, y1, x2, y2 = box.round().astype(int)
            inner = made.pixels[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3]
            if inner.size:
                checked += 1
                assert inner.mean() > made.pixels.min() + 60
            if x1 > 8:
                assert made.pixels[y1:y2, x1 - 6].mean() < made.pixels[y1:y2, (x1 + x2) // 2].mean() - 30
    assert checked > 30


def test_a_seed_gives_the_same_crop() -> None:
    one, two = (random_crop(image(), 320, Augmentation(True, 0.5), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.boxes, two.boxes)


def test_a_whole_image_is_stretched() -> None:
    made = whole_image(image())
    assert made.pixels.shape == (640, 640, 3)
    np.testing.assert_allclose(made.boxes[0], [64, 64, 140.8, 112], atol=0.01)

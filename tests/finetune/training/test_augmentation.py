"""Training crops: boxes follow their objects."""

from dataclasses import replace

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


def test_a_slice_shows_the_pixels_of_the_image() -> None:
    """White bars of 40 by 20 px keep their size in slices; as served, 2000 px are squeezed into 640."""
    pixels = np.zeros((1000, 2000, 3), np.uint8)
    corners = np.stack(np.meshgrid(np.arange(100, 1900, 200), np.arange(100, 900, 100)), -1).reshape(-1, 2)
    for x, y in corners:
        pixels[y : y + 20, x : x + 40] = 255
    boxes = np.concatenate([corners, corners + np.array([40, 20])], 1) / (2000, 1000, 2000, 1000)
    many = CachedImage(pixels, boxes.astype(np.float32), np.zeros(len(boxes), np.int64))

    def median_width(sliced: float) -> float:
        augmentation, widths = Augmentation(False, sliced=sliced), []
        for seed in range(10):
            made = random_crop(many, 320, augmentation, np.random.default_rng(seed)).boxes
            whole = made[(made > 1).all(1) & (made < 319).all(1)]
            widths += (whole[:, 2] - whole[:, 0]).tolist()
        return float(np.median(widths))

    assert 40 * 0.6 < median_width(1.0) < 40 * 1.7
    assert median_width(0.0) < 40 * 640 / 2000 * 1.7


def test_false_detections_are_seen_more_often() -> None:
    corner = np.array([[0.9, 0.9, 0.98, 0.98]], np.float32)
    plain = image()
    marked = replace(plain, false_boxes=corner)
    marked.pixels[372:380, 460:480] = (0, 128, 255)  # in the middle of the false box
    augmentation = Augmentation(False, plain=True)

    def times_seen(one: CachedImage) -> int:
        crops = (random_crop(one, 160, augmentation, np.random.default_rng(seed)) for seed in range(200))
        return sum(bool((crop.pixels[..., 1] == 128).any()) for crop in crops)

    assert times_seen(marked) > times_seen(replace(marked, false_boxes=np.zeros((0, 4), np.float32))) + 40

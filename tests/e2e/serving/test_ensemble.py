"""The ensemble's own interface over gRPC (docs/ensemble.md)."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from sod import interface
from sod.image import decode_image, scale_factor, to_pixels
from tests.e2e.conftest import DEMO, FULL
from tests.e2e.started_server import REPOSITORY, infer, infer_arrays, infer_tensors

THRESHOLD = 0.05
SIZE = (640, 640)


def assert_equal(one, other):
    # Results may differ only by the order of summation in another stream.
    np.testing.assert_array_equal(one.class_ids, other.class_ids)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)


@pytest.fixture(scope="module")
def alone(triton, images):
    """The objects of every image in a request of its own."""
    return {name: infer(triton, FULL, [data], THRESHOLD)[0] for name, data in images.items()}


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_batch_equals_its_images_alone(triton, images, alone, size):
    names = (list(images) * size)[:size]
    for name, found in zip(names, infer(triton, FULL, [images[n] for n in names], THRESHOLD), strict=True):
        assert len(found) > 0
        assert_equal(found, alone[name])


def test_concurrent_requests_get_their_own_results(triton, images, alone):
    names = list(images) * 6
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda name: infer(triton, FULL, [images[name]], THRESHOLD)[0], names)
        for name, found in zip(names, answers, strict=True):
            assert_equal(found, alone[name])


@pytest.mark.parametrize("model", [DEMO, FULL])
def test_outputs_are_as_documented(triton, image, noise, model):
    outputs = infer_arrays(triton, model, [image, noise], np.full((2, 10), 0.02, np.float32))
    widest = outputs[interface.NUM_DETECTIONS].max()
    assert {name: (array.shape, array.dtype.name) for name, array in outputs.items()} == {
        interface.BOXES: ((2, widest, 4), "float32"),
        interface.SCORES: ((2, widest), "float32"),
        interface.CLASS_IDS: ((2, widest), "int32"),
        interface.NUM_DETECTIONS: ((2, 1), "int32"),
        interface.ERROR: ((2, 1), "object"),
    }
    for row, count in enumerate(outputs[interface.NUM_DETECTIONS][:, 0]):
        assert (outputs[interface.SCORES][row, :count] > 0.02).all()
        assert (outputs[interface.SCORES][row, count:] == 0).all()
        # Objects are sorted by class, then by descending score.
        keys = list(
            zip(outputs[interface.CLASS_IDS][row, :count], -outputs[interface.SCORES][row, :count], strict=True)
        )
        assert keys == sorted(keys)


@pytest.mark.parametrize("model", [DEMO, FULL])
def test_pixels_give_what_the_encoded_image_gives(triton, images, model):
    decoded = [decode_image(data) for data in images.values()]
    thresholds = np.full((len(decoded), 10), THRESHOLD, np.float32)
    inputs = {
        interface.PIXELS: np.stack([to_pixels(image, SIZE) for image in decoded]),
        interface.SCALE_FACTOR: np.stack([scale_factor(image, SIZE) for image in decoded]),
        interface.SCORE_THRESHOLD: thresholds,
    }
    outputs = infer_tensors(triton, interface.pixel_entrance(model), inputs)
    expected = infer_arrays(triton, model, list(images.values()), thresholds)
    assert outputs.keys() == expected.keys() - {interface.ERROR}
    np.testing.assert_array_equal(outputs[interface.NUM_DETECTIONS], expected[interface.NUM_DETECTIONS])
    np.testing.assert_array_equal(outputs[interface.CLASS_IDS], expected[interface.CLASS_IDS])
    np.testing.assert_allclose(outputs[interface.BOXES], expected[interface.BOXES], atol=1e-2)


def test_a_broken_image_fails_alone(triton, image, alone, images):
    first = next(iter(images))
    batch = [image, b"not an image", image, b""]
    outputs = infer_arrays(triton, FULL, batch, np.full((4, 10), THRESHOLD, np.float32))
    errors = [error.decode() for error in outputs[interface.ERROR][:, 0]]
    assert errors[0] == errors[2] == ""
    assert "not an image we can read" in errors[1]
    assert "empty" in errors[3]
    count = len(alone[first])
    assert outputs[interface.NUM_DETECTIONS][:, 0].tolist() == [count, 0, count, 0]


def test_broken_images_of_concurrent_requests_fail_alone(triton, image, alone, images):
    expected = alone[next(iter(images))]

    def ask(data):
        try:
            return infer(triton, FULL, [data], THRESHOLD)[0]
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [image, b"broken"] * 8))
    for good, bad in zip(answers[::2], answers[1::2], strict=True):
        assert_equal(good, expected)
        assert isinstance(bad, InferenceServerException)
        assert bad.status() == "StatusCode.INVALID_ARGUMENT"
        assert "not an image we can read" in str(bad)


def test_thresholds_are_per_class(triton, image):
    everything = infer_arrays(triton, FULL, [image], np.full((1, 10), 0.3, np.float32))
    wanted = int(everything[interface.CLASS_IDS][0, 0])
    thresholds = np.ones((1, 10), np.float32)
    thresholds[0, wanted] = 0.3
    only = infer_arrays(triton, FULL, [image], thresholds)
    of_class = everything[interface.CLASS_IDS][0] == wanted
    np.testing.assert_allclose(only[interface.SCORES][0], everything[interface.SCORES][0, of_class], atol=1e-5)


def test_thresholds_that_do_not_fit_are_refused(triton, image):
    with pytest.raises(InferenceServerException, match="score_threshold"):
        infer_arrays(triton, FULL, [image], np.full((1, 3), 0.5, np.float32))
    with pytest.raises(InferenceServerException, match="score_threshold contains NaN"):
        infer_arrays(triton, FULL, [image], np.full((1, 10), np.nan, np.float32))


def options(count, iou=None, agnostic=None):
    given = {}
    if iou is not None:
        given[interface.IOU_THRESHOLD] = np.full((count, 1), iou, np.float32)
    if agnostic is not None:
        given[interface.CLASS_AGNOSTIC] = np.full((count, 1), agnostic, np.bool_)
    return given


@pytest.mark.parametrize("entrance", ["encoded", "pixels"])
def test_concurrent_requests_get_the_nms_that_each_asks_for(triton, entrance):
    data = (REPOSITORY.parent / "docs/street.jpg").read_bytes()
    thresholds = np.full((1, 10), 0.3, np.float32)
    if entrance == "encoded":
        name, image = DEMO, {interface.IMAGE: np.array([[data]], object)}
    else:
        decoded = decode_image(data)
        name = interface.pixel_entrance(DEMO)
        image = {
            interface.PIXELS: to_pixels(decoded, SIZE)[None],
            interface.SCALE_FACTOR: scale_factor(decoded, SIZE)[None],
        }

    def ask(given):
        inputs = {**image, interface.SCORE_THRESHOLD: thresholds, **options(1, *given)}
        outputs = infer_tensors(triton, name, inputs)
        return int(outputs[interface.NUM_DETECTIONS][0, 0])

    asked = [(iou, agnostic) for iou in (None, 0.2, 0.6, 0.9) for agnostic in (None, False, True)]
    alone = {given: ask(given) for given in asked}
    assert alone[None, None] == alone[0.6, False]  # the model's own
    assert alone[0.2, None] < alone[None, None] < alone[0.9, None]
    assert alone[None, True] < alone[None, None]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, asked * 3)) == [alone[given] for given in asked * 3]


def test_class_agnostic_nms_leaves_no_overlapping_objects(triton, image):
    thresholds = np.full((1, 10), THRESHOLD, np.float32)
    inputs = {interface.IMAGE: np.array([[image]], object), interface.SCORE_THRESHOLD: thresholds}
    outputs = infer_tensors(triton, DEMO, {**inputs, **options(1, 0.5, True)})
    boxes = outputs[interface.BOXES][0].astype(np.float64)
    assert len(boxes) > 1
    sides = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    inside = np.prod(np.maximum(sides, 0), axis=-1)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    iou = inside / (area[:, None] + area[None] - inside) - np.eye(len(boxes))
    assert iou.max() <= 0.5 + 1e-3


def test_an_iou_threshold_outside_its_range_is_refused(triton, image):
    inputs = {
        interface.IMAGE: np.array([[image]], object),
        interface.SCORE_THRESHOLD: np.full((1, 10), 0.5, np.float32),
    }
    with pytest.raises(InferenceServerException, match=r"iou_threshold is 1\.5"):
        infer_tensors(triton, DEMO, {**inputs, **options(1, 1.5)})


def test_nothing_found_is_an_empty_answer(triton, noise):
    outputs = infer_arrays(triton, DEMO, [noise], np.ones((1, 10), np.float32))
    assert outputs[interface.BOXES].shape == (1, 0, 4)
    assert outputs[interface.NUM_DETECTIONS].tolist() == [[0]]


def test_one_pixel_is_an_image(triton):
    outputs = infer_arrays(
        triton,
        DEMO,
        [cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()],
        np.full((1, 10), 0.5, np.float32),
    )
    assert outputs[interface.ERROR].tolist() == [[b""]]

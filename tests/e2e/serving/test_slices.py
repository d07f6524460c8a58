"""Sliced inference with a real detector: four scenes side by side give what each gives alone."""

import base64
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, Serving

ALONE: dict[str, Any] = {"visualize": False, "threshold": 0.4, "model": DEMO}


@pytest.fixture(scope="module")
def scene() -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(REPOSITORY.parent / "docs" / "street.jpg")), np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def objects(reply: Any) -> NDArray[np.float64]:
    """Rows of class id, score, x1, y1, x2, y2."""
    assert reply.status_code == 200, reply.text
    found = reply.json()["result"]["detectedObjects"]
    return np.array([(one["categoryId"], one["score"], *one["bbox"]) for one in found]).reshape(-1, 6)


def test_slices_that_are_the_scenes_give_the_objects_of_each_scene(server: Serving, scene: NDArray[np.uint8]) -> None:
    height, width = scene.shape[:2]
    alone = objects(server.post(png(scene), **ALONE))
    assert len(alone) > 20
    options = {"size": [width, height], "overlap": 0, "fullImage": False, "combine": "none"}
    reply = server.post(png(np.tile(scene, (2, 2, 1))), slice=options, **ALONE)
    assert reply.headers["x-slices"] == "4"
    found = objects(reply)
    expected = np.concatenate(
        [alone + np.array([0, 0, x, y, x, y], np.float64) for x in (0, width) for y in (0, height)]
    )
    assert len(found) == len(expected)
    for table in (found, expected):
        table[:] = table[np.lexsort(np.round(table.T[::-1]))]
    np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=1e-3)
    np.testing.assert_allclose(found[:, 2:], expected[:, 2:], atol=3)  # alone, boxes are clipped at the scene's edges


def test_a_large_image_loses_few_objects_in_slices_and_most_of_them_whole(
    server: Serving, scene: NDArray[np.uint8]
) -> None:
    counted = {**ALONE, "classAgnosticNms": True}  # objects; another slice may show a second class for one
    alone = len(objects(server.post(png(scene), **counted)))
    mosaic = png(np.tile(scene, (3, 3, 1)))
    whole = len(objects(server.post(mosaic, **counted)))
    reply = server.post(mosaic, slice={"size": [scene.shape[1], scene.shape[0]]}, **counted)
    sliced = len(objects(reply))
    assert reply.headers["x-slices"] == "17"
    assert 0.9 * 9 * alone <= sliced <= 1.2 * 9 * alone  # some are made up at the seams
    assert whole < sliced / 2


def test_the_overlay_has_the_size_of_the_image(server: Serving, scene: NDArray[np.uint8]) -> None:
    reply = server.post(png(np.tile(scene, (1, 2, 1))), slice="auto", threshold=0.4, model=DEMO)
    assert int(reply.headers["x-slices"]) > 1
    drawn = cv2.imdecode(np.frombuffer(base64.b64decode(reply.json()["result"]["image"]), np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (scene.shape[0], 2 * scene.shape[1], 3)

"""The server finds the objects that the whole Paddle model with its own NMS finds in the same images."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from export.paddle.inference_model import find_model
from export.paddle.predictor import ReferenceDetector
from sod.detections import Detections
from sod.image import decode_image
from tests.e2e.started_server import infer, serve

THRESHOLDS = [0.05, 0.3, 0.5]

Reference = Callable[[str, str], Detections]


@pytest.fixture(scope="session")
def reference(paddle_models: dict[str, Path], images: dict[str, bytes]) -> Reference:
    """Paddle's detections over 0.01 that have an area, as PaddleX keeps them, by model and image."""
    detectors = {name: ReferenceDetector(find_model(folder)) for name, folder in paddle_models.items()}

    @cache
    def detect(model: str, image: str) -> Detections:
        return detectors[model](decode_image(images[image])).with_area()

    return detect


@pytest.fixture(scope="module", params=["cpu_high_performance", "cpu_regular"])
def client(request, repository, tmp_path_factory, free_ports) -> Iterator[InferenceServerClient]:
    """A client of Triton in each CPU profile; the first is that of the shared server."""
    if request.param == "cpu_high_performance":
        yield request.getfixturevalue("triton")
        return
    log = tmp_path_factory.mktemp("log") / f"{request.param}.log"
    with (
        serve(repository, log, free_ports(4), "--profile", request.param) as serving,
        InferenceServerClient(serving.grpc) as own,
    ):
        yield own


def test_detections_equal_paddles(client, reference, paddle_models, images):
    found = 0
    assert len(images) >= 3
    for model in paddle_models:
        for name, data in images.items():
            expected = reference(model, name)
            for threshold in THRESHOLDS:
                found += assert_same(infer(client, model, [data], threshold)[0], expected, threshold)
    assert found > 100, "there are too few objects for a comparison"


def assert_same(served: Detections, expected: Detections, threshold: float) -> int:
    """Check that the objects are the same: boxes within 0.5 px, scores within 1e-3. Returns their number."""
    over = expected.scores > np.float32(threshold)
    assert len(served) == over.sum()
    unmatched = set(range(len(served)))
    for box, score, class_id in zip(expected.boxes[over], expected.scores[over], expected.class_ids[over], strict=True):
        near = [
            i
            for i in unmatched
            if served.class_ids[i] == class_id
            and abs(served.scores[i] - score) <= 1e-3
            and np.abs(served.boxes[i] - box).max() <= 0.5
        ]
        assert near, f"Paddle's {class_id} {score:.4f} at {box} is not served"
        unmatched.remove(min(near, key=lambda i: float(np.abs(served.boxes[i] - box).max())))
    return int(over.sum())

"""Classes and NMS of a request with a real detector: REST and the SDK over both transports give the same objects."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sod_client import InvalidConfigError, create_pipeline

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, Serving

STREET = REPOSITORY.parent / "docs" / "street.jpg"
OPTIONS: dict[str, Any] = {"visualize": False, "threshold": 0.3, "model": DEMO}
Objects = NDArray[np.float64]


def ask(server: Serving, **fields: Any) -> Objects:
    """Rows of class id, score, x1, y1, x2, y2."""
    reply = server.post(STREET.read_bytes(), **{**OPTIONS, **fields})
    assert reply.status_code == 200, reply.text
    found = reply.json()["result"]["detectedObjects"]
    return np.array([(one["categoryId"], one["score"], *one["bbox"]) for one in found]).reshape(-1, 6)


def iou(a: Objects, b: Objects) -> Objects:
    """Of each box with each other one, [A, B]."""
    sides = np.minimum(a[:, None, 4:], b[None, :, 4:]) - np.maximum(a[:, None, 2:4], b[None, :, 2:4])
    inside = np.prod(np.maximum(sides, 0), axis=2)
    areas = [np.prod(each[:, 4:] - each[:, 2:4], axis=1) for each in (a, b)]
    return np.asarray(inside / (areas[0][:, None] + areas[1][None] - inside))


def test_a_vehicle_of_several_classes_is_one_object(server: Serving) -> None:
    by_class, agnostic = ask(server), ask(server, classAgnosticNms=True)
    matches = iou(agnostic, by_class) > 0.6
    assert matches.sum(axis=1).max() >= 3, "an object that is found as three classes"
    assert (iou(agnostic, agnostic) - np.eye(len(agnostic))).max() <= 0.6 + 1e-3
    lost = iou(agnostic, by_class).max(axis=0) < 0.6 - 1e-2  # clipping at the image's edges changes the IoU
    assert not lost.any(), "no object is lost, only its further classes"


def test_only_wanted_classes_take_part_in_the_nms(server: Serving) -> None:
    everything = ask(server)
    of_class = everything[everything[:, 0] == 4]
    assert len(of_class) > 1
    np.testing.assert_allclose(ask(server, classes=["van"]), of_class, atol=1e-3)
    # A car with a higher score suppresses a van, unless cars are not wanted.
    both = ask(server, classAgnosticNms=True)
    assert (both[:, 0] == 4).sum() < len(of_class)
    np.testing.assert_allclose(ask(server, classes=[4], classAgnosticNms=True), of_class, atol=1e-3)


def test_an_overlay_and_slices_have_the_same_objects(server: Serving) -> None:
    wanted = {"classes": ["car", "van"], "classAgnosticNms": True, "iouThreshold": 0.3}
    plain = ask(server, **wanted)
    drawn = ask(server, **wanted, visualize=True)
    np.testing.assert_allclose(drawn, plain, atol=1e-2)
    sliced = ask(server, **wanted, slice={"size": 480})
    assert set(sliced[:, 0]) <= {3, 4}
    assert (iou(sliced, sliced) - np.eye(len(sliced))).max() < 0.6  # the merge compares over the smaller box


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"classes": ["van", 5]}, {"classes": ["van", 5]}),
        ({"iou": 0.9, "agnostic_nms": True}, {"iouThreshold": 0.9, "classAgnosticNms": True}),
        ({"threshold": {None: 0.6, "car": 0.4}, "classes": ["car"]}, {"threshold": 0.4, "classes": [3]}),
    ],
)
def test_the_sdk_gives_the_same_over_both_transports(server: Serving, arguments: Any, fields: Any) -> None:
    expected = ask(server, **fields)
    for url in (server.url, f"grpc://{server.grpc}"):
        with create_pipeline(url=url, model=DEMO) as pipeline:
            (result,) = pipeline.predict(STREET, **{"threshold": 0.3, **arguments}, visualize=False)
            found = np.array([(one["cls_id"], one["score"], *one["coordinate"]) for one in result.boxes])
            np.testing.assert_allclose(found, expected, atol=1e-2)
            with pytest.raises(InvalidConfigError, match="no class 'vam'; its classes are van, "):
                list(pipeline.predict(STREET, classes=["vam"]))

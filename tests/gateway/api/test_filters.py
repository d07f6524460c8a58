"""Which objects a request wants: `classes`, `iouThreshold` and `classAgnosticNms`."""

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.gateway.conftest import LABELS, MODEL

PATH = "/small-object-detection"
OFF = float("inf")


async def ask(gateway: httpx.AsyncClient, image: str, **fields: Any) -> list[dict[str, Any]]:
    response = await gateway.post(PATH, json={"image": image, "visualize": False, **fields})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["result"]["detectedObjects"]
    return found


async def refused(gateway: httpx.AsyncClient, image: str, **fields: Any) -> list[dict[str, str]]:
    response = await gateway.post(PATH, json={"image": image, **fields})
    assert response.status_code == 422, response.text
    issues: list[dict[str, str]] = json.loads(response.json()["errorMsg"])
    return issues


def only(thresholds: dict[int, float]) -> list[float]:
    return [np.float32(thresholds.get(class_id, OFF)) for class_id in range(len(LABELS))]


@pytest.mark.parametrize("visualize", [False, True])
@pytest.mark.parametrize("classes", [["car"], [3], ["3"], ["car", 3, "car"]])
async def test_only_these_classes(
    gateway: httpx.AsyncClient, triton: Any, image64: str, classes: list[int | str], visualize: bool
) -> None:
    triton.add_pixel_entrance(MODEL)
    found = await ask(gateway, image64, classes=classes, threshold=0.2, visualize=visualize)
    assert [one["categoryName"] for one in found] == ["car", "car"]
    assert triton.thresholds == [only({3: 0.2})]
    assert triton.nms == [(None, None)]


async def test_classes_keep_their_thresholds(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.models[MODEL]["parameters"]["default_threshold"] = {"3": 0.65}
    await ask(gateway, image64, classes=["car", 0, "van"], threshold={"0": 0.8, "5": 0.1})
    assert triton.thresholds == [only({0: 0.8, 3: 0.65, 4: 0.5})]


async def test_a_label_of_several_classes_stands_for_all_of_them(
    gateway: httpx.AsyncClient, triton: Any, image64: str
) -> None:
    triton.add("mine", labels=["行人", "3", "行人", "a,b"])
    await ask(gateway, image64, classes=["行人"], model="mine")
    await ask(gateway, image64, classes=["3", "a,b"], model="mine")
    assert triton.thresholds == [only({0: 0.5, 2: 0.5})[:4], only({1: 0.5, 3: 0.5})[:4]]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (None, None)),
        ({"iouThreshold": None, "classAgnosticNms": None, "classes": None}, (None, None)),
        ({"iouThreshold": 0.25}, (0.25, None)),
        ({"iouThreshold": "0.5"}, (0.5, None)),
        ({"iouThreshold": 0}, (0, None)),
        ({"iouThreshold": 1, "classAgnosticNms": False}, (1, None)),
        ({"classAgnosticNms": True}, (None, True)),
    ],
)
async def test_nms_reaches_triton(
    gateway: httpx.AsyncClient, triton: Any, image64: str, fields: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    triton.add_pixel_entrance(MODEL)
    await ask(gateway, image64, **fields)
    await ask(gateway, image64, visualize=True, **fields)
    assert triton.nms == [expected, expected]


async def test_forms_query_and_batches(gateway: httpx.AsyncClient, triton: Any, image: bytes, image64: str) -> None:
    off = {"visualize": "false"}
    for fields in (
        {"classes": "car, bus", "iouThreshold": "0.5", "classAgnosticNms": "true"},
        {"classes": "3,8", "iouThreshold": "0.5", "classAgnosticNms": "1"},
        {"classes": '["car", 8]', "iouThreshold": ".5", "classAgnosticNms": "on"},
    ):
        form = await gateway.post(PATH, data={**fields, **off}, files={"image": image})
        query = await gateway.post(
            PATH, params={**fields, **off}, content=image, headers={"content-type": "image/jpeg"}
        )
        assert (form.status_code, query.status_code) == (200, 200), form.text + query.text
    one = await gateway.post(PATH, data={"classes": "3", **off}, files={"image": image})
    assert [found["categoryId"] for found in one.json()["result"]["detectedObjects"]] == [3]
    assert triton.thresholds == [only({3: 0.5, 8: 0.5})] * 6 + [only({3: 0.5})]
    assert triton.nms == [(0.5, True)] * 6 + [(None, None)]
    triton.nms.clear()
    items = [image64, {"image": image64, "iouThreshold": 0.75, "classes": ["van"]}, {"image": image64, "classes": [99]}]
    batch = await gateway.post(
        f"{PATH}/batch", json={"images": items, "classes": ["car"], "classAgnosticNms": True, "visualize": False}
    )
    results = batch.json()["result"]["results"]
    assert [one["errorCode"] for one in results] == [0, 0, 422]
    assert [len(one["result"]["detectedObjects"]) for one in results[:2]] == [1, 0]
    assert "body.classes" in results[2]["errorMsg"]
    assert sorted(triton.nms, key=str) == [(0.75, True), (None, True)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"classes": ["Car"]},
            ("class_unknown", "body.classes", "no class 'Car'; its classes are car, pedestrian, peo"),
        ),
        ({"classes": ["car", "lorry"]}, ("class_unknown", "body.classes", "no class 'lorry'; its classes are ")),
        ({"classes": [10]}, ("class_unknown", "body.classes", "no class 10; its class ids are 0 to 9")),
        ({"classes": [-1]}, ("class_unknown", "body.classes", "no class -1; its class ids are 0 to 9")),
        ({"classes": ["1" * 5000]}, ("class_unknown", "body.classes", "…'; its classes are ")),
        ({"classes": []}, ("too_short", "body.classes", "at least 1 item")),
        ({"classes": "car"}, ("list_type", "body.classes", "valid list")),
        ({"classes": [True]}, ("int_type", "body.classes[0].int", "valid integer")),
        ({"classes": [None]}, ("int_type", "body.classes[0].int", "valid integer")),
        ({"iouThreshold": 1.01}, ("less_than_equal", "body.iouThreshold", "less than or equal to 1")),
        ({"iouThreshold": -0.5}, ("greater_than_equal", "body.iouThreshold", "greater than or equal to 0")),
        ({"iouThreshold": "nan"}, ("less_than_equal", "body.iouThreshold", "less than or equal to 1")),
        ({"classAgnosticNms": "perhaps"}, ("bool_parsing", "body.classAgnosticNms", "valid boolean")),
    ],
)
async def test_bad_values(
    gateway: httpx.AsyncClient, triton: Any, image64: str, fields: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    issue = (await refused(gateway, image64, **fields))[0]
    assert (issue["type"], issue["loc"]) == expected[:2]
    assert expected[2] in issue["msg"]
    assert triton.names == []


async def test_an_unknown_class_in_the_query_string(gateway: httpx.AsyncClient, image: bytes) -> None:
    response = await gateway.post(PATH + "?classes=car,cra", content=image, headers={"content-type": "image/jpeg"})
    assert response.status_code == 422
    (issue,) = json.loads(response.json()["errorMsg"])
    assert (issue["type"], issue["loc"]) == ("class_unknown", "query.classes")


@pytest.mark.parametrize("field", [{"iouThreshold": 0.5}, {"classAgnosticNms": True}])
async def test_a_model_of_an_earlier_export(
    gateway: httpx.AsyncClient, triton: Any, image64: str, field: dict[str, Any]
) -> None:
    triton.models[MODEL]["inputs"] = ["image", "score_threshold"]
    assert [one["categoryId"] for one in await ask(gateway, image64, classes=["car"])] == [3]
    assert len(await ask(gateway, image64, classAgnosticNms=False)) == 3
    (issue,) = await refused(gateway, image64, **field)
    assert (issue["type"], issue["loc"]) == ("nms_unsupported", f"body.{next(iter(field))}")
    assert "export the model again to enable" in issue["msg"]


@pytest.mark.parametrize("options", [True, {"size": 100, "fullImage": False}])
async def test_slices_and_their_merge(gateway: httpx.AsyncClient, triton: Any, options: Any) -> None:
    """A vehicle that is a van in one slice and a bus in the next is one object if classes do not count."""
    import cv2

    pixels = np.zeros((100, 160, 3), np.uint8)
    pixels[40:60, 70:90] = 255
    image = base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
    triton.models[MODEL]["parameters"]["input_size"] = [100, 100]
    triton.add_pixel_entrance(MODEL)

    def find(slice_: Any) -> list[tuple[int, float, tuple[float, float, float, float]]]:
        bright = np.flatnonzero(slice_.max(axis=(0, 2)) > 128)
        if not len(bright):
            return []
        is_left = bright[0] > 50
        return [(4 if is_left else 8, 0.9 if is_left else 0.8, (float(bright[0]), 40.0, bright[-1] + 1.0, 60.0))]

    triton.find = find
    apart = await ask(gateway, image, slice=options)
    assert {one["categoryId"] for one in apart} == {4, 8}
    together = await ask(gateway, image, slice=options, classAgnosticNms=True, iouThreshold=0.5)
    assert [one["categoryId"] for one in together] == [4]
    assert triton.nms[-1] == (0.5, True)
    assert [one["categoryId"] for one in await ask(gateway, image, slice=options, classes=["bus"])] == [8]

"""The list of models, and requests that name one."""

import asyncio
import json
from typing import Any

import grpc
import httpx
import pytest

from gateway.inference.postprocess import PostprocessOptions
from gateway.inference.triton_client import TritonDetector
from tests.gateway.api.test_contract import PATH, assert_error, issues, scores

DEFAULT = "PP-YOLOE_plus_SOD-S"
CHINESE = ["行人", "汽车", "三轮车", "公交车"]


async def listed(gateway: httpx.AsyncClient) -> list[dict[str, Any]]:
    response = await gateway.get("/models")
    document = response.json()
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert document.keys() == {"logId", "errorCode", "errorMsg", "result"}
    assert (document["errorCode"], document["errorMsg"]) == (0, "Success")
    assert document["result"].keys() == {"models"}
    models: list[dict[str, Any]] = document["result"]["models"]
    return models


async def test_ready_ensembles_with_labels_are_listed(gateway: httpx.AsyncClient, triton: Any) -> None:
    triton.models.clear()
    triton.add("mine", labels=CHINESE, input_size=[320, 640])
    triton.add(DEFAULT, input_size="nonsense")
    triton.add("mine_detector", platform="", labels=None)
    triton.add("unloaded", state="UNAVAILABLE")
    triton.add("AA_without_labels", labels=None)
    models = await listed(gateway)
    assert [(one["name"], one["inputSize"], one["default"]) for one in models] == [
        (DEFAULT, None, True),
        ("mine", [320, 640], False),
    ]
    assert all(one.keys() == {"name", "labels", "inputSize", "default", "sha256"} for one in models)
    assert models[1]["labels"] == CHINESE


@pytest.mark.parametrize("told", ["a" * 64, None, 7, "A" * 64, "a" * 63, ["a" * 64]])
async def test_the_hash_of_the_weights(gateway: httpx.AsyncClient, triton: Any, told: Any) -> None:
    triton.add(DEFAULT, sha256=json.dumps(told))
    (model,) = await listed(gateway)
    assert model["sha256"] == ("a" * 64 if told == "a" * 64 else None)


async def test_the_default_comes_first(make_gateway: Any, triton: Any) -> None:
    triton.add("mine")
    async with make_gateway(model="mine") as gateway:
        assert [(one["name"], one["default"]) for one in await listed(gateway)] == [("mine", True), (DEFAULT, False)]


async def test_no_model_is_an_empty_list_and_no_triton_is_503(gateway: httpx.AsyncClient, triton: Any) -> None:
    triton.models.clear()
    assert await listed(gateway) == []
    await triton.stop()
    await asyncio.sleep(1.1)
    assert "cannot be reached" in assert_error(await gateway.get("/models"), 503)


async def test_a_default_that_is_not_there_is_none_of_the_list(make_gateway: Any) -> None:
    async with make_gateway(model="absent") as gateway:
        assert [one["default"] for one in await listed(gateway)] == [False]


async def test_a_model_that_vanishes_while_it_is_listed(gateway: httpx.AsyncClient, triton: Any) -> None:
    triton.add("going")
    triton.vanished = {"going"}
    assert [one["name"] for one in await listed(gateway)] == [DEFAULT]


@pytest.mark.parametrize("visualize", [True, False])
async def test_a_request_asks_the_model_that_it_names(
    gateway: httpx.AsyncClient, triton: Any, image64: str, visualize: bool
) -> None:
    triton.add("mine", labels=CHINESE)
    body = {"image": image64, "visualize": visualize}
    response = await gateway.post(PATH, json=body | {"model": "mine", "threshold": {"3": 0.2}})
    assert response.status_code == 200, response.text
    names = [one["categoryName"] for one in response.json()["result"]["detectedObjects"]]
    assert names == ["行人", "行人", "公交车", "公交车"]
    for default in ({}, {"model": None}, {"model": DEFAULT}):
        assert scores(await gateway.post(PATH, json=body | default)) == [(0, 0.9), (0, 0.6), (3, 0.7)]
    assert triton.names == ["mine", DEFAULT, DEFAULT, DEFAULT]


@pytest.mark.parametrize("name", ["absent", "", "mine_detector", "x" * 5000, "\ud800", "行人", "a\nb"])
async def test_an_unknown_model_is_refused_with_the_known(
    gateway: httpx.AsyncClient, triton: Any, image64: str, name: str
) -> None:
    triton.add("mine_detector", platform="", labels=None)
    triton.add("mine")
    (issue,) = issues(await gateway.post(PATH, content=json.dumps({"image": image64, "model": name})))
    assert (issue["type"], issue["loc"]) == ("model_unknown", "body.model")
    assert issue["msg"].endswith(f"loaded are {DEFAULT}, mine")
    assert len(issue["msg"]) < 250
    assert triton.images == []


async def test_a_model_of_another_type_is_refused(gateway: httpx.AsyncClient, image64: str) -> None:
    (issue,) = issues(await gateway.post(PATH, json={"image": image64, "model": 3}))
    assert (issue["type"], issue["loc"]) == ("string_type", "body.model")


async def test_a_model_loaded_a_moment_ago_is_found(make_gateway: Any, triton: Any, image64: str) -> None:
    async with make_gateway(model_info_ttl=1000) as gateway:
        assert len(await listed(gateway)) == 1
        triton.add("mine", labels=CHINESE)
        await asyncio.sleep(1.1)
        response = await gateway.post(PATH, json={"image": image64, "model": "mine"})
        assert response.status_code == 200
        assert len(await listed(gateway)) == 2


async def test_named_models_are_asked_for_once(triton: Any) -> None:
    triton.add("mine")
    async with TritonDetector(triton.addresses, model=None, info_ttl=1000, timeout=10) as detector:
        infos = await asyncio.gather(*(detector.model_info(name) for name in ["mine", DEFAULT] * 5))
        assert [info.name for info in infos] == ["mine", DEFAULT] * 5
        assert triton.asked == 1


async def test_another_models_success_is_no_evidence_of_readiness(triton: Any, image: bytes) -> None:
    import numpy as np

    triton.add("mine")
    async with TritonDetector(triton.addresses, model=None, info_ttl=5, timeout=10) as detector:
        default = await detector.model_info()
        options = PostprocessOptions(np.ones(len(default.labels), np.float32))
        await detector.infer(image, options, await detector.model_info("mine"))
        assert detector.seconds_since_success is None
        await detector.infer(image, options, await detector.model_info(DEFAULT))
        assert detector.seconds_since_success is not None


async def test_a_named_model_that_is_gone_is_named(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.add("mine")
    assert (await gateway.post(PATH, json={"image": image64, "model": "mine"})).status_code == 200
    triton.fails = (grpc.StatusCode.UNAVAILABLE, "Request for unknown model: 'mine' is not found")
    response = await gateway.post(PATH, json={"image": image64, "model": "mine"})
    assert assert_error(response, 503).startswith("The model mine is not loaded")


@pytest.mark.parametrize(
    ("own", "asked_and_expected"),
    [
        (0.65, (None, [(0, 0.9), (3, 0.7)])),
        (0.65, ({}, [(0, 0.9), (3, 0.7)])),
        (0.65, ({"0": 0.55}, [(0, 0.9), (0, 0.6), (3, 0.7)])),
        (0.65, (0.8, [(0, 0.9)])),
        ({"3": 0.2}, (None, [(0, 0.9), (0, 0.6), (3, 0.7), (3, 0.3)])),
        ({"3": 0.2, "77": 0.1}, ({"0": 1}, [(3, 0.7), (3, 0.3)])),
        ({"3": "high", "0": True}, (None, [(0, 0.9), (0, 0.6), (3, 0.7)])),
        ("nonsense", (None, [(0, 0.9), (0, 0.6), (3, 0.7)])),
        (7, (None, [(0, 0.9), (0, 0.6), (3, 0.7)])),
        (True, (None, [(0, 0.9), (0, 0.6), (3, 0.7)])),
        ([0.1], (None, [(0, 0.9), (0, 0.6), (3, 0.7)])),
    ],
)
async def test_a_models_own_default_threshold(
    gateway: httpx.AsyncClient, triton: Any, image64: str, own: Any, asked_and_expected: Any
) -> None:
    threshold, expected = asked_and_expected
    triton.add(DEFAULT, default_threshold=own)
    body = {"image": image64, "threshold": threshold, "visualize": False}
    assert scores(await gateway.post(PATH, json=body)) == expected

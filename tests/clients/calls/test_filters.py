"""Which objects a call returns: `classes`, `iou`, `agnostic_nms`, and thresholds by label, over both transports."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sod_client import AsyncPipeline, InvalidConfigError, InvalidThresholdError, ServerError, create_pipeline
from sod_client.cli import main
from sod_client.pipeline import Pipeline

from tests.clients.conftest import SUCCESS, FakeServer, Reply, jpeg
from tests.gateway.conftest import LABELS, MODEL, FakeTriton

OFF = float("inf")
MODELS = {
    "models": [
        {"name": "mine", "labels": ["van", "a,b:c", "van", "5"], "inputSize": None, "default": False},
        {"name": MODEL, "labels": LABELS, "inputSize": [640, 640], "default": True},
    ]
}


@pytest.fixture
def gateway(server: FakeServer) -> FakeServer:
    """A server that lists models, too; a request without a body asks for them."""

    def reply(body: Any) -> Reply:
        return 200, json.dumps(SUCCESS if body else {**SUCCESS, "result": MODELS}).encode()

    server.reply = reply
    return server


@pytest.fixture
def pipeline(gateway: FakeServer) -> Pipeline:
    return create_pipeline(url=gateway.url)


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    fake = FakeTriton()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def grpc_pipeline(triton: FakeTriton) -> AsyncIterator[AsyncPipeline]:
    async with AsyncPipeline(url=f"grpc://127.0.0.1:{triton.port}", retries=1) as made:
        yield made


async def one(pipeline: AsyncPipeline, **options: Any) -> Any:
    (result,) = [result async for result in pipeline.predict(jpeg(), **options)]
    return result


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"classes": ["car", 8, "3"]}, {"classes": [3, 8]}),
        ({"classes": "car"}, {"classes": [3]}),
        ({"classes": 0}, {"classes": [0]}),
        ({"classes": ["van", "a,b:c", "5"], "model": "mine"}, {"classes": [0, 2, 1, 3]}),
        ({"iou": 0.5}, {"iouThreshold": 0.5}),
        ({"iou": 0}, {"iouThreshold": 0.0}),
        ({"agnostic_nms": True}, {"classAgnosticNms": True}),
        ({"agnostic_nms": False}, {}),
        ({"threshold": {"car": 0.25, 0: 0.75}}, {"threshold": {"3": 0.25, "0": 0.75}}),
        (
            {"threshold": {"van": 0.25, None: 0.5}, "model": "mine"},
            {"threshold": {"0": 0.25, "1": 0.5, "2": 0.25, "3": 0.5}},
        ),
    ],
)
def test_what_the_gateway_gets(
    gateway: FakeServer, pipeline: Pipeline, street: Path, arguments: Any, sent: dict[str, Any]
) -> None:
    list(pipeline.predict([street, street], **arguments))
    bodies = [body for _, body in gateway.requests if body]
    fields = ("threshold", "classes", "iouThreshold", "classAgnosticNms")
    for body in bodies:
        assert {name: body[name] for name in fields if body.get(name) is not None} == sent
    assert len(bodies) == 2


def test_only_labels_need_the_list_of_models(gateway: FakeServer, pipeline: Pipeline, street: Path) -> None:
    list(pipeline.predict(street, {3: 0.5}, classes=[3], iou=0.5))
    assert [path for path, _ in gateway.requests] == ["/small-object-detection"]
    list(pipeline.predict([street, street], {"car": 0.5}, classes=["car"]))
    list(pipeline.predict(street, classes=["car"]))
    assert [path for path, _ in gateway.requests].count("/models") == 1


def test_without_them_the_fields_are_left_out(gateway: FakeServer, pipeline: Pipeline, street: Path) -> None:
    """PaddleX's server has no such fields."""
    list(pipeline.predict(street))
    assert gateway.requests[0][1].keys() == {"image", "threshold", "visualize"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": ["Car"]}, "no class 'Car'; its classes are car, pedestrian, people"),
        ({"classes": ["99"]}, "no class 99; its class ids are 0 to 9"),
        ({"threshold": {"buss": 0.5}}, "no class 'buss'; its classes are bus, pedestrian"),
        ({"classes": ["car"], "model": "other"}, "no model other; these are ready: mine, "),
    ],
)
def test_unknown_labels(gateway: FakeServer, pipeline: Pipeline, street: Path, arguments: Any, said: str) -> None:
    kind = InvalidThresholdError if "threshold" in arguments else InvalidConfigError
    with pytest.raises(kind, match=said):
        list(pipeline.predict(street, on_error="skip", **arguments))
    assert [path for path, _ in gateway.requests] == ["/models"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": []}, "classes is empty"),
        ({"classes": [1.5]}, "a class must be an integer from 0 or a label, not 1.5"),
        ({"classes": [True]}, "a class must be an integer from 0 or a label, not True"),
        ({"classes": [""]}, "a class must be an integer from 0 or a label, not ''"),
        ({"classes": -1}, "a class must be an integer from 0 or a label, not -1"),
        ({"classes": 1.5}, "classes must be class ids or labels, not 1.5"),
        ({"iou": 1.5}, "iou must be a number from 0 to 1, not 1.5"),
        ({"iou": float("nan")}, "iou must be a number from 0 to 1, not nan"),
        ({"iou": True}, "iou must be a number from 0 to 1, not True"),
        ({"iou": "0.5"}, "iou must be a number from 0 to 1, not '0.5'"),
        ({"agnostic_nms": 1}, "agnostic_nms must be True or False, not 1"),
        ({"threshold": {"car": 2}}, "the threshold of class car must be a number from 0 to 1, not 2"),
        ({"threshold": {1.5: 0.5}}, "the class of a threshold must be an integer from 0 or a label, not 1.5"),
    ],
)
def test_bad_arguments_are_refused_at_once(
    gateway: FakeServer, pipeline: Pipeline, street: Path, arguments: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        pipeline.predict(street, **arguments)
    assert not gateway.requests


def test_a_server_that_lists_no_models(server: FakeServer, street: Path) -> None:
    """PaddleX's own: class ids can be sent, labels cannot be looked up."""
    server.respond_with(404, {"logId": "1", "errorCode": 404, "errorMsg": "Not Found"})
    with pytest.raises(InvalidConfigError, match="does not list its classes; use class ids in place of labels"):
        list(create_pipeline(url=server.url).predict(street, {"car": 0.5}))


async def test_triton_gets_thresholds_and_nms(grpc_pipeline: AsyncPipeline, triton: FakeTriton) -> None:
    result = await one(
        grpc_pipeline, classes=["car", 8], threshold={"car": 0.25, None: 0.75}, iou=0.25, agnostic_nms=True
    )
    assert triton.thresholds == [[OFF] * 3 + [0.25] + [OFF] * 4 + [0.75, OFF]]
    assert triton.nms == [(0.25, True)]
    assert {box["label"] for box in result.boxes} == {"car"}
    await one(grpc_pipeline)
    assert triton.nms[1] == (None, None)


async def test_an_asynchronous_input(grpc_pipeline: AsyncPipeline, triton: FakeTriton) -> None:
    async def images() -> AsyncIterator[bytes]:
        yield jpeg()
        yield jpeg()

    found = [result async for result in grpc_pipeline.predict(images(), classes=["car"])]
    assert len(found) == 2
    assert triton.thresholds == [[OFF] * 3 + [0.5] + [OFF] * 6] * 2


@pytest.mark.parametrize("classes", [["Car"], [10]])
async def test_an_unknown_class_never_reaches_triton(
    grpc_pipeline: AsyncPipeline, triton: FakeTriton, classes: list[int | str]
) -> None:
    with pytest.raises(InvalidConfigError, match="the model has no class"):
        await one(grpc_pipeline, classes=classes)
    assert not triton.thresholds


@pytest.mark.parametrize(
    "details",
    [
        "[request id: <id_unknown>] unexpected inference input 'iou_threshold' for model 'PP-YOLOE_plus_SOD-S'",
        "[request id: <id_unknown>] expected 2 inputs but got 3 inputs for model 'PP-YOLOE_plus_SOD-S'",
    ],
)
async def test_a_model_of_an_earlier_export(grpc_pipeline: AsyncPipeline, triton: FakeTriton, details: str) -> None:
    import grpc

    triton.fails = (grpc.StatusCode.INVALID_ARGUMENT, details)
    with pytest.raises(ServerError, match="the NMS of this model is fixed: export it again to use iou"):
        await one(grpc_pipeline, iou=0.5)


def test_the_command(gateway: FakeServer, street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", str(street), "--url", gateway.url, "--no_image"]
    options = ["--classes", "car, bus", "--iou", "0.5", "--agnostic_nms", "--threshold", "0.25,car:0.75"]
    assert main([*command, *options]) == 0
    body = next(body for _, body in gateway.requests if body)
    assert (body["classes"], body["iouThreshold"], body["classAgnosticNms"]) == ([3, 8], 0.5, True)
    assert body["threshold"] == {str(class_id): 0.75 if class_id == 3 else 0.25 for class_id in range(10)}
    capsys.readouterr()
    assert main([*command, "--classes", "cra"]) == 1
    assert "the model has no class 'cra'; its classes are car, " in capsys.readouterr().err
    for wrong in (["--classes", ""], ["--iou", "2"], ["--threshold", "car:x"]):
        with pytest.raises(SystemExit):
            main([*command, *wrong])
        assert f"argument {wrong[0]}" in capsys.readouterr().err


def test_labels_with_commas_and_colons(gateway: FakeServer, street: Path) -> None:
    command = ["predict", str(street), "--url", gateway.url, "--no_image", "--model", "mine"]
    assert main([*command, "--classes", "['a,b:c', 3]", "--threshold", "{'a,b:c': 0.25, 'van': 0.5}"]) == 0
    body = next(body for _, body in gateway.requests if body)
    assert body["classes"] == [1, 3]
    assert body["threshold"] == {"1": 0.25, "0": 0.5, "2": 0.5}

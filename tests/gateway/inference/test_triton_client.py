"""The adapter and the gateway in front of a Triton that fails, goes away, and comes back."""

import asyncio
import base64
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from gateway.errors import DetectorUnavailableError, InputError
from gateway.inference.model_catalogue import PREFERENCE, ModelInfo
from gateway.inference.postprocess import PostprocessOptions
from gateway.inference.tensors import ResizedImage, serialize_request
from gateway.inference.triton_client import TritonDetector
from gateway.inference.triton_errors import clean_message
from tests.gateway.conftest import encode

PATH = "/small-object-detection"
INVALID, INTERNAL = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL
DEAD_STUB = (
    INTERNAL,
    "in ensemble 'PP-YOLOE_plus_SOD-S', Failed to process the request(s) for model instance 'preprocess_640_0_0', "
    "message: Stub process 'preprocess_640_0_0' is not healthy.",
)


async def post(gateway: httpx.AsyncClient, image: str, **more: Any) -> httpx.Response:
    return await gateway.post(PATH, json={"image": image} | more)


async def failed(gateway: httpx.AsyncClient, image: str, status: int = 503, **more: Any) -> str:
    response = await post(gateway, image, **more)
    document = response.json()
    assert response.status_code == document["errorCode"] == status, response.text
    assert document.keys() == {"logId", "errorCode", "errorMsg"}
    assert ("retry-after" in response.headers) == (status == 503)
    message: str = document["errorMsg"]
    for inside in ("StatusCode", "ensemble '", "preprocess", "Stub", "127.0.0.1", "\n"):
        assert inside not in message
    return message


async def post_until(gateway: httpx.AsyncClient, image: str, status: int) -> None:
    """Ask until the response has a status; the connection's back-off is at most a second."""
    async with asyncio.timeout(15):
        while (await post(gateway, image)).status_code != status:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("size", [0, 1, 123, 124, 16_379, 16_380, 2**21 - 5, 2**21 - 4])  # varints of 1 to 4 bytes
@pytest.mark.parametrize("classes", [1, 32])
def test_a_request_is_a_protobuf_message(size: int, classes: int) -> None:
    image, thresholds = bytes(range(256)) * (size // 256 + 1), np.linspace(0, 1, classes, dtype=np.float32)
    image = image[:size]
    expected = service_pb2.ModelInferRequest(model_name="a model")
    expected.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    expected.inputs.add(name="score_threshold", datatype="FP32", shape=[1, classes])
    expected.raw_input_contents.extend((size.to_bytes(4, "little") + image, thresholds.tobytes()))
    assert (
        service_pb2.ModelInferRequest.FromString(serialize_request(image, PostprocessOptions(thresholds), "a model"))
        == expected
    )


def test_a_request_with_pixels_is_a_protobuf_message() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (40, 50, 3), np.uint8)
    scale, thresholds = np.array([0.5, 0.25], np.float32), np.linspace(0, 1, 10, dtype=np.float32)
    expected = service_pb2.ModelInferRequest(model_name="a model")
    expected.inputs.add(name="pixels", datatype="UINT8", shape=[1, 40, 50, 3])
    expected.inputs.add(name="scale_factor", datatype="FP32", shape=[1, 2])
    expected.inputs.add(name="score_threshold", datatype="FP32", shape=[1, 10])
    expected.raw_input_contents.extend((pixels.tobytes(), scale.tobytes(), thresholds.tobytes()))
    written = serialize_request(ResizedImage(pixels, scale), PostprocessOptions(thresholds), "a model")
    assert service_pb2.ModelInferRequest.FromString(written) == expected


def test_a_request_says_how_nms_is_done() -> None:
    options = PostprocessOptions(np.ones(2, np.float32), iou_threshold=0.25, class_agnostic=True)
    message = service_pb2.ModelInferRequest.FromString(serialize_request(b"image", options, "a model"))
    assert [(one.name, one.datatype, list(one.shape)) for one in message.inputs[2:]] == [
        ("iou_threshold", "FP32", [1, 1]),
        ("class_agnostic", "BOOL", [1, 1]),
    ]
    assert list(message.raw_input_contents[2:]) == [np.float32(0.25).tobytes(), b"\x01"]


@pytest.mark.parametrize("visualize", [True, False])
@pytest.mark.parametrize(
    "details",
    [
        "the JPEG image cannot be decoded",
        "in ensemble 'PP-YOLOE_plus_SOD-S', the JPEG image cannot be decoded",
        "in ensemble 'X', Failed to process the request(s) for model 'preprocess_640', message: "
        "the JPEG image cannot be decoded\n\nAt:\n  /models/preprocess_640/1/model.py(12): execute\n",
        "[request id: <id_unknown>] in ensemble 'a', in ensemble 'b', the JPEG image cannot be decoded",
    ],
)
async def test_image_refused_by_the_model(
    gateway: httpx.AsyncClient, triton: Any, image64: str, details: str, visualize: bool
) -> None:
    triton.fails = (INVALID, details)
    message = await failed(gateway, image64, 422, visualize=visualize)
    assert message == "the JPEG image cannot be decoded"


async def test_image_refused_in_the_error_output(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.error_output = "this image is broken, schade für sie".encode()
    assert await failed(gateway, image64, 422) == "this image is broken, schade für sie"


MIB = 2**20


@pytest.mark.parametrize(
    ("region_mib", "status", "said"),
    [
        (
            18,
            413,
            "The image has 20,971,520 bytes; the inference server's shared memory has room for about 19,922,944: send",
        ),
        (30, 503, "The inference server failed on this request; try again"),  # others use most of it now
    ],
)
async def test_an_image_too_large_for_shared_memory(
    triton: Any, gateway: httpx.AsyncClient, region_mib: int, status: int, said: str
) -> None:
    image = encode(".png")
    image += bytes(20 * MIB - len(image))  # after its end, which decoders ignore
    triton.fails = (
        INTERNAL,
        "in ensemble 'PP-YOLOE_plus_SOD-S', Failed to process the request(s) for model instance 'preprocess_640_0_0', "
        "message: Failed to increase the shared memory pool size for key 'sod-1' to "
        f"{(region_mib + 21) * MIB} bytes. If you are running Triton inside docker, use '--shm-size' flag to control "
        "the shared memory region size. Error: No space left on device",
    )
    said_by_gateway = await failed(gateway, base64.b64encode(image).decode(), status, visualize=False)
    assert said in said_by_gateway


@pytest.mark.parametrize("text", ["", "in ensemble 'X', ", "in ensemble 'X', \n\nAt:\n  model.py(1): execute"])
def test_a_message_is_never_empty(text: str) -> None:
    assert clean_message(text)


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (DEAD_STUB, "has died"),
        ((INTERNAL, "in ensemble 'X', RuntimeError: x\n\nAt:\n  /models/preprocess/1/model.py(3): execute"), "failed"),
        ((grpc.StatusCode.UNAVAILABLE, "Request for unknown model: 'X' is not found"), "not loaded"),
        ((grpc.StatusCode.UNAVAILABLE, "Server is stopping"), "cannot be reached or is not ready"),
        ((grpc.StatusCode.RESOURCE_EXHAUSTED, "Exceeds maximum queue size"), "failed"),
        ((grpc.StatusCode.CANCELLED, "request was cancelled"), "failed"),
        ((grpc.StatusCode.UNKNOWN, ""), "failed"),
        ((INVALID, "[request id: x] expected 2 inputs but got 1 inputs for model 'X'"), "changed"),
        ((INVALID, "in ensemble 'X', score_threshold has 10 values; this model has 9 classes"), "changed"),
    ],
)
async def test_failures_of_triton(gateway: httpx.AsyncClient, triton: Any, image64: str, fails: Any, says: str) -> None:
    assert (await post(gateway, image64)).status_code == 200
    triton.fails = fails
    assert says in await failed(gateway, image64)
    triton.fails = None
    assert (await post(gateway, image64)).status_code == 200


async def test_triton_gone_and_back(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    assert (await post(gateway, image64)).status_code == 200
    await triton.stop()
    assert "cannot be reached" in await failed(gateway, image64)
    for _ in range(3):
        assert "cannot be reached" in await failed(gateway, image64, visualize=False)
    await triton.start()
    await post_until(gateway, image64, 200)


async def test_triton_absent_at_first(make_gateway: Any, triton: Any, image64: str) -> None:
    await triton.stop()
    async with make_gateway() as gateway:
        await failed(gateway, image64)
        await triton.start()
        await post_until(gateway, image64, 200)


async def test_a_deadline_says_nothing_against_triton(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.fails = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    assert "did not answer within" in await failed(gateway, image64, 504)
    triton.fails = None
    assert (await post(gateway, image64)).status_code == 200
    triton.fails = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    await failed(gateway, image64, 504)
    assert (await gateway.get("/health/ready")).status_code == 200


async def test_triton_hangs(make_gateway: Any, triton: Any, image64: str) -> None:
    triton.hold = asyncio.Event()
    async with make_gateway(request_timeout=0.2) as gateway:
        assert "within 0.2 s" in await failed(gateway, image64, 504)
        triton.hold.set()
        assert (await post(gateway, image64)).status_code == 200


async def test_outputs_of_another_interface(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.missing_output = "boxes"
    assert "outputs" in await failed(gateway, image64)
    triton.missing_output = "error"  # an image alone needs none
    assert (await post(gateway, image64)).status_code == 200


async def test_model_replaced_by_one_with_other_classes(make_gateway: Any, triton: Any, image64: str) -> None:
    async with make_gateway(model_info_ttl=1000) as gateway:
        assert (await post(gateway, image64)).status_code == 200
        triton.add("PP-YOLOE_plus_SOD-S", labels=["one", "two", "three", "four", "five"])
        assert "changed" in await failed(gateway, image64)
        response = await post(gateway, image64)
        assert response.json()["result"]["detectedObjects"][-1]["categoryName"] == "four"


@pytest.mark.parametrize("size", [1, 2**14, 9 * 2**20])  # gRPC refuses more than 4 MiB by default
async def test_an_image_of_any_size_arrives_as_it_is(triton: Any, size: int) -> None:
    image = (bytes(range(256)) * (size // 256 + 1))[:size]
    thresholds = np.linspace(0.5, 0.95, 10, dtype=np.float32)
    async with TritonDetector(triton.addresses, model=None, info_ttl=5, timeout=10) as detector:
        detections = await detector.infer(image, PostprocessOptions(thresholds), await detector.model_info())
    assert detections.boxes.shape == (3, 4)
    assert detections.class_ids.tolist() == [0, 0, 3]
    assert triton.images == [image]
    assert triton.thresholds == [thresholds.tolist()]


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (PREFERENCE, PREFERENCE[0]),
        (PREFERENCE[1:], PREFERENCE[1]),
        (PREFERENCE[2:], PREFERENCE[2]),
        (("A", PREFERENCE[3]), PREFERENCE[3]),
        (("B", "A"), "A"),
    ],
)
async def test_preference(triton: Any, models: tuple[str, ...], expected: str) -> None:
    triton.models.clear()
    triton.add("AA_not_loaded", state="UNAVAILABLE")
    triton.add("AA_detector", platform="", labels=None)
    triton.add("AA_without_labels", labels=None)
    triton.add("AA_bad_labels", labels="[1, 2")
    triton.add("AA_empty_labels", labels=[])
    triton.add("AA_labels_of_another_kind", labels=[1, 2])
    for name in models:
        triton.add(name)
    async with TritonDetector(triton.addresses, model=None, info_ttl=5, timeout=10) as detector:
        assert (await detector.model_info()).name == expected


async def test_model_that_is_named(triton: Any) -> None:
    triton.add("mine", labels=["a", "b"])
    async with TritonDetector(triton.addresses, model="mine", info_ttl=5, timeout=10) as detector:
        assert await detector.model_info() == ModelInfo("mine", ("a", "b"), nms_inputs=True)


@pytest.mark.parametrize(
    ("name", "says"), [("absent", "The model absent is not loaded"), ("plain", "plain is not an ensemble")]
)
async def test_model_that_is_named_wrongly(make_gateway: Any, triton: Any, image64: str, name: str, says: str) -> None:
    triton.add("plain", platform="", labels=None)
    async with make_gateway(model=name) as gateway:
        assert says in await failed(gateway, image64)


async def test_no_detector_ready(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.models.clear()
    assert "no detector" in await failed(gateway, image64)
    triton.add("late")
    assert (await post(gateway, image64)).status_code == 200


async def test_model_info_is_kept_and_dropped(triton: Any, image: bytes) -> None:
    async with TritonDetector(triton.addresses, model=None, info_ttl=1000, timeout=10) as detector:
        infos = await asyncio.gather(*(detector.model_info() for _ in range(20)))
        info = await detector.model_info()
        assert all(one is info for one in infos)
        assert triton.asked == 1
        assert detector.seconds_since_success is None

        options = PostprocessOptions(np.full(len(info.labels), 0.5, np.float32))
        await detector.infer(image, options, info)
        assert detector.seconds_since_success is not None

        triton.fails = (INVALID, "a broken image")  # says nothing against Triton
        with pytest.raises(InputError):
            await detector.infer(image, options, info)
        await detector.model_info()
        assert triton.asked == 1
        assert detector.seconds_since_success is not None

        triton.fails = DEAD_STUB
        with pytest.raises(DetectorUnavailableError):
            await detector.infer(image, options, info)
        assert detector.seconds_since_success is None
        await detector.model_info()
        assert triton.asked == 2


async def test_model_info_grows_old(triton: Any) -> None:
    async with TritonDetector(triton.addresses, model=None, info_ttl=0, timeout=10) as detector:
        assert (await detector.model_info()).name == "PP-YOLOE_plus_SOD-S"
        triton.add("PP-YOLOE_plus_SOD-L")
        assert (await detector.model_info()).name == "PP-YOLOE_plus_SOD-L"

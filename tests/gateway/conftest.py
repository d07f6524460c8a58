"""Fixtures: a fake Triton (a real gRPC server) and a fake web server (a real socket)."""

import asyncio
import base64
import json
import signal
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import cv2
import grpc
import httpx
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.app import create_app
from gateway.settings import Settings
from sod.triton_addresses import TritonAddresses

LABELS = ["pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motorcycle"]
MODEL = "PP-YOLOE_plus_SOD-S"
# (class id, score, box), as the ensemble orders them.
OBJECTS = [
    (0, 0.9, (10.5, 10.0, 20.0, 30.0)),
    (0, 0.6, (40.0, 10.0, 50.0, 30.0)),
    (0, 0.5, (5.0, 50.0, 9.0, 60.0)),
    (3, 0.7, (60.0, 40.0, 90.0, 60.0)),
    (3, 0.3, (20.0, 60.0, 40.0, 70.0)),
]

Reply = tuple[grpc.StatusCode, str]


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Speaks KServe v2 as Triton does, for an ensemble that finds `objects` in every image."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.add(MODEL)
        self.objects = OBJECTS
        self.fails: Reply | None = None
        self.error_output = b""
        self.padding = 0
        self.missing_output = ""
        self.hold: asyncio.Event | None = None
        self.images: list[bytes] = []
        self.pixels: list[Any] = []  # uint8 [H, W, 3], with (scale_y, scale_x)
        # What is found in pixels, in their own coordinates; None finds `objects`.
        self.find: Callable[[Any], list[tuple[int, float, tuple[float, ...]]]] | None = None
        self.most_held = 0
        self.thresholds: list[list[float]] = []
        self.nms: list[tuple[float | None, bool | None]] = []  # IoU threshold, class-agnostic
        self.names: list[str] = []
        self.metadata: list[dict[str, str]] = []  # of the requests
        self.vanished: set[str] = set()  # in the index, and no longer there
        self.asked = 0
        self.arrived = asyncio.Event()  # a request is held
        self.held = 0
        self.cancelled = 0  # while they were held
        self.port = 0
        self._server: Any = None

    def add(
        self, name: str, *, state: str = "READY", platform: str = "ensemble", labels: Any = LABELS, **parameters: Any
    ) -> None:
        """Parameters are written as JSON, strings as they are."""
        self.models[name] = {
            "state": state,
            "platform": platform,
            "labels": labels,
            "parameters": parameters,
            "inputs": ["image", "score_threshold", "iou_threshold", "class_agnostic"],
        }

    def add_pixel_entrance(self, name: str) -> None:
        self.add(f"{name}_pixels", labels=None)

    @property
    def addresses(self) -> TritonAddresses:
        return TritonAddresses.parse(f"127.0.0.1:{self.port}")

    async def start(self) -> None:
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ]
        )
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def RepositoryIndex(self, _: Any, __: Any) -> Any:  # noqa: N802
        self.asked += 1
        answer = service_pb2.RepositoryIndexResponse()
        for name, model in self.models.items():
            answer.models.add(name=name, version="1", state=model["state"])
        return answer

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = self.models.get(request.name)
        if model is None or request.name in self.vanished:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}' is not found")
            raise AssertionError
        answer = service_pb2.ModelConfigResponse()
        answer.config.name = request.name
        answer.config.platform = model["platform"]
        for tensor in model["inputs"]:
            answer.config.input.add(name=tensor)
        for key, value in {"labels": model["labels"], **model["parameters"]}.items():
            if value is not None:
                answer.config.parameters[key].string_value = value if isinstance(value, str) else json.dumps(value)
        return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        if self.hold is not None:
            self.arrived.set()
            self.held += 1
            self.most_held = max(self.most_held, self.held)
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.held -= 1
        contents = dict(zip([i.name for i in request.inputs], request.raw_input_contents, strict=True))
        shapes = {i.name: list(i.shape) for i in request.inputs}
        assert shapes.pop("score_threshold") == [1, len(contents["score_threshold"]) // 4]
        iou, agnostic = (
            np.frombuffer(contents[name], kind).tolist() if shapes.pop(name, None) == [1, 1] else [None]
            for name, kind in (("iou_threshold", np.float32), ("class_agnostic", np.bool_))
        )
        self.nms.append((*iou, *agnostic))
        if "image" in contents:
            assert shapes == {"image": [1, 1]}
            (length,) = struct.unpack_from("<I", contents["image"])
            self.images.append(contents["image"][4:])
            assert length == len(self.images[-1])
        else:
            assert shapes.pop("scale_factor") == [1, 2]
            pixels = np.frombuffer(contents["pixels"], np.uint8).reshape(shapes.pop("pixels")[1:])
            self.pixels.append((pixels, np.frombuffer(contents["scale_factor"], np.float32).tolist()))
            assert not shapes
        thresholds = np.frombuffer(contents["score_threshold"], np.float32)
        self.names.append(request.model_name)
        self.thresholds.append(thresholds.tolist())
        if self.fails is not None:
            await context.abort(*self.fails)
        if len(thresholds) != len(self.models[request.model_name.removesuffix("_pixels")]["labels"]):
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"[request id: <id_unknown>] unexpected shape for input 'score_threshold' for model "
                f"'{request.model_name}', expected [-1,9], got [1,10]",
            )
        objects = self.objects
        if self.find is not None and "pixels" in contents:
            scale_y, scale_x = self.pixels[-1][1]
            objects = [
                (class_id, score, (x1 / scale_x, y1 / scale_y, x2 / scale_x, y2 / scale_y))
                for class_id, score, (x1, y1, x2, y2) in self.find(self.pixels[-1][0])
            ]
        found = [one for one in objects if one[0] < len(thresholds) and np.float32(one[1]) > thresholds[one[0]]]
        width = len(found) + self.padding
        boxes, scores = np.zeros((1, width, 4), np.float32), np.zeros((1, width), np.float32)
        class_ids = np.zeros((1, width), np.int32)
        for i, (class_id, score, box) in enumerate(found):
            boxes[0, i], scores[0, i], class_ids[0, i] = box, score, class_id
        error = struct.pack("<I", len(self.error_output)) + self.error_output
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        for name, kind, shape, raw in (
            ("boxes", "FP32", boxes.shape, boxes.tobytes()),
            ("scores", "FP32", scores.shape, scores.tobytes()),
            ("class_ids", "INT32", class_ids.shape, class_ids.tobytes()),
            ("num_detections", "INT32", (1, 1), np.array([len(found)], np.int32).tobytes()),
            ("error", "BYTES", (1, 1), error),
        ):
            if name != self.missing_output:
                answer.outputs.add(name=name, datatype=kind, shape=list(shape))
                answer.raw_output_contents.append(raw)
        return answer


class WebServer:
    """An HTTP server whose answers are written by hand, byte by byte."""

    def __init__(self) -> None:
        self.paths: dict[str, Callable[[asyncio.StreamWriter], Awaitable[None]]] = {}
        self.requests: list[bytes] = []
        self.url = ""
        self._handlers: set[asyncio.Task[None]] = set()

    def answer(self, path: str, head: str, body: bytes = b"") -> str:
        """Answer `path` with a status line and headers, and return its URL."""

        async def write(writer: asyncio.StreamWriter) -> None:
            writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

        return self.handle(path, write)

    def image(self, path: str, body: bytes) -> str:
        return self.answer(path, f"HTTP/1.1 200 OK\nContent-Type: image/jpeg\nContent-Length: {len(body)}", body)

    def handle(self, path: str, write: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> str:
        self.paths[path] = write
        return self.url + path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            await self.paths[head.split()[1].decode()](writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:  # the test has ended; the stream protocol would report it
            pass
        finally:
            self._handlers.discard(task)
            writer.close()

    async def close(self) -> None:
        handlers = list(self._handlers)
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


MakeGateway = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SOD_{name.upper()}", raising=False)


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    server = FakeTriton()
    await server.start()
    yield server
    if server.hold is not None:
        server.hold.set()
    await server.stop()


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    server = WebServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield server
    listener.close()
    await server.close()
    await listener.wait_closed()


@pytest.fixture
def make_gateway(triton: FakeTriton) -> MakeGateway:
    """Make a running gateway with the given settings, and a client to it."""

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(Settings(**{"triton_url": f"127.0.0.1:{triton.port}", **settings}))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
        ):
            client.app = app  # type: ignore[attr-defined]
            yield client

    return make


@pytest.fixture
async def gateway(make_gateway: MakeGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with make_gateway() as client:
        yield client


@pytest.fixture
def hang_up_not_ignored() -> Iterator[None]:
    """Processes that a test starts end at SIGHUP, unless they handle it; under nohup they would ignore it."""
    handler = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, handler)


def encode(suffix: str, height: int = 80, width: int = 100) -> bytes:
    pixels = np.full((height, width, 3), (90, 120, 150), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.fixture(scope="session")
def encode_image() -> Callable[..., bytes]:
    return encode


@pytest.fixture(scope="session")
def image() -> bytes:
    return encode(".jpg")


@pytest.fixture(scope="session")
def image64(image: bytes) -> str:
    return base64.b64encode(image).decode()

"""Triton's HTTP port: what is sent, and what is said of answers that are not Triton's; e2e/clients has the real one."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sod_client import (
    AuthenticationError,
    BadReplyError,
    ConnectionFailedError,
    DependencyError,
    InvalidConfigError,
    ServerBusyError,
    ServerError,
    create_pipeline,
)
from sod_client.pipeline import Pipeline

from tests.clients.conftest import FakeServer, jpeg

INDEX = [{"name": "mine", "version": "1", "state": "READY"}, {"name": "loading", "state": "LOADING"}, {"name": "none"}]
CONFIG = {
    "name": "mine",
    "platform": "ensemble",
    "parameters": {"labels": {"string_value": '["car"]'}, "default_threshold": {"string_value": "0.25"}},
}
OUTPUTS: dict[str, Any] = {
    "boxes": np.array([[[1, 2, 30, 40]]], np.float32),
    "scores": np.array([[0.5]], np.float32),
    "class_ids": np.array([[0]], np.int32),
    "num_detections": np.array([[1]], np.int32),
    "error": np.array([[b""]], object),
}


def answer(outputs: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
    """Triton's answer with binary tensors."""
    described, tensors = [], b""
    for name, array in outputs.items():
        data = b"\0\0\0\0" if array.dtype == object else array.tobytes()
        kind = {"f": "FP32", "i": "INT32", "O": "BYTES"}[array.dtype.kind]
        size = {"binary_data_size": len(data)}
        described.append({"name": name, "datatype": kind, "shape": array.shape, "parameters": size})
        tensors += data
    header = json.dumps({"model_name": "mine", "model_version": "1", "outputs": described}).encode()
    return 200, header + tensors, {"Inference-Header-Content-Length": str(len(header))}


class Triton(FakeServer):
    """Answers `inference` to requests of /infer, and the index and configuration of one model."""

    def __init__(self) -> None:
        self.inference: tuple[Any, ...] = answer(OUTPUTS)
        self.sent: list[bytes] = []
        super().__init__()
        handler = self._http.RequestHandlerClass

        def do_post(request: Any) -> None:
            body = request.rfile.read(int(request.headers["Content-Length"]))
            if request.path.endswith("/infer"):
                self.sent.append(body)
                self.headers.append(dict(request.headers))
                status, content, *more = self.inference
                request._send(status, content, more[0] if more else {})
            else:
                request._send(200, json.dumps(INDEX).encode(), {})

        handler.do_POST = do_post  # type: ignore[attr-defined]
        for prefix in ("", "/kserve"):
            self.files[f"{prefix}/v2/models/mine/config"] = json.dumps(CONFIG).encode()


@pytest.fixture
def triton() -> Iterator[Triton]:
    fake = Triton()
    yield fake
    fake.close()


@pytest.fixture
def pipeline(triton: Triton) -> Iterator[Pipeline]:
    with create_pipeline(url=f"triton+{triton.url}/", retries=1, api_key="secret") as made:
        yield made


def test_tensors_are_binary_and_the_model_has_its_own_threshold(pipeline: Pipeline, triton: Triton) -> None:
    (result,) = pipeline.predict(jpeg())
    assert result.boxes == [{"cls_id": 0, "label": "car", "score": 0.5, "coordinate": [1, 2, 30, 40]}]
    (body,) = triton.sent
    length = int(triton.headers[0]["Inference-Header-Content-Length"])
    header = json.loads(body[:length])
    assert ["data" in tensor for tensor in header["inputs"]] == [False, False]
    assert header["parameters"] == {"binary_data_output": True}
    assert body[length:] == len(jpeg()).to_bytes(4, "little") + jpeg() + np.float32(0.25).tobytes()
    assert triton.headers[0]["Authorization"] == "Bearer secret"
    assert pipeline.url == f"triton+{triton.url}"


def test_an_address_may_have_a_path(triton: Triton) -> None:
    with create_pipeline(url=f"triton+{triton.url}/kserve") as pipeline:
        assert [model.name for model in pipeline.models()] == ["mine"]


@pytest.mark.parametrize(
    ("status", "content", "kind", "says"),
    [
        (400, b'{"error": "[request id: 1] in ensemble \'a\', no image"}', ServerError, "answered 422: no image"),
        (500, b'{"error": "a stage died"}', ServerError, "answered 500: a stage died"),
        (401, b"<html>no</html>", AuthenticationError, "answered 401: <html>no</html>"),
        (503, b'{"error": "queue is full"}', ServerBusyError, "answered 503: queue is full"),
        (302, b"", BadReplyError, "not in the format of Triton"),
        (200, b"<html>hello</html>", BadReplyError, "not in the format of Triton"),
        (200, b"[]", BadReplyError, "damaged"),
        (200, b'{"outputs": []}', BadReplyError, "are not those of a small-object detector"),
    ],
)
def test_failures(
    pipeline: Pipeline, triton: Triton, *, status: int, content: bytes, kind: type[Exception], says: str
) -> None:
    triton.inference = status, content
    with pytest.raises(kind, match=says):
        next(pipeline.predict(jpeg()))
    assert len(triton.sent) == (2 if status == 503 else 1)


def test_damaged_tensors(pipeline: Pipeline, triton: Triton) -> None:
    status, content, headers = answer(OUTPUTS)
    triton.inference = status, content[:-30], headers
    with pytest.raises(BadReplyError, match="are damaged"):
        next(pipeline.predict(jpeg()))


def test_no_triton(nowhere: str) -> None:
    pipeline = create_pipeline(url=f"triton+{nowhere}", retries=1)
    with pytest.raises(ConnectionFailedError, match=r"cannot reach triton\+http://"):
        next(pipeline.predict(jpeg()))
    pipeline.close()
    with pytest.raises(ConnectionFailedError, match="closed"):
        next(pipeline.predict(jpeg()))


@pytest.mark.parametrize("url", ["triton+http://", "triton+ftp://host", "triton+https://host:port", "triton://host"])
def test_an_invalid_address(url: str) -> None:
    with pytest.raises(InvalidConfigError, match=re.escape(repr(url)) + " is not (the|a) URL"):
        create_pipeline(url=url)


@pytest.mark.parametrize("missing", ["tritonclient", "geventhttpclient"])
def test_the_error_without_the_extra_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tritonclient.http")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DependencyError, match=r"requires tritonclient: pip install 'tritonclient\[http\]'"):
        create_pipeline(url="triton+http://127.0.0.1:8000")

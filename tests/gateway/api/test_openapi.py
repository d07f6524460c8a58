"""The OpenAPI document: that it is the committed one, that it is complete, and that the gateway does as it says."""

import asyncio
import base64
import json
import socket
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
import uvicorn
from hypothesis import strategies as st
from schemathesis import checks

from gateway.__main__ import main
from gateway.app import create_app
from gateway.errors import InputError
from gateway.images.fetch import ImageFetcher
from gateway.settings import Settings
from tests.gateway.conftest import FakeTriton, encode

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"
PATH = "/small-object-detection"
IMAGE = encode(".jpg")
IMAGE64 = base64.b64encode(IMAGE).decode()


def operation(path: str) -> dict[str, Any]:
    (found,) = json.loads(DOCUMENT.read_text("utf-8"))["paths"][path].values()
    assert isinstance(found, dict)
    return found


def test_the_committed_document_is_the_application_s(capsys: pytest.CaptureFixture[str]) -> None:
    """To mend it: `python -m gateway --openapi > docs/openapi.json`."""
    assert main(["--openapi"]) == 0
    committed, made = json.loads(DOCUMENT.read_text("utf-8")), json.loads(capsys.readouterr().out)
    made["info"]["version"] = committed["info"]["version"]  # a checkout that is not installed has none
    assert made == committed


async def test_it_is_served(gateway: httpx.AsyncClient) -> None:
    document = (await gateway.get("/openapi.json")).json()
    assert document["paths"].keys() == json.loads(DOCUMENT.read_text("utf-8"))["paths"].keys()
    assert (await gateway.get("/docs")).status_code == 200


@pytest.mark.parametrize("path", [PATH, PATH + "/batch"])
def test_every_error_is_described(path: str) -> None:
    responses = operation(path)["responses"]
    assert responses.keys() == {"200", "401", "406", "408", "413", "415", "422", "429", "500", "503", "504"}
    for status in responses.keys() - {"200"}:
        content = responses[status]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Envelope"}
        assert content["example"]["errorCode"] == int(status)
    assert "Retry-After" in responses["429"]["headers"]
    assert "Retry-After" in responses["503"]["headers"]


def test_every_kind_of_body_and_answer_is_described() -> None:
    infer = operation(PATH)
    kinds = {"application/json", "multipart/form-data", "image/*", "application/octet-stream"}
    assert infer["requestBody"]["content"].keys() == kinds
    assert infer["responses"]["200"]["content"].keys() == {"application/json", "image/jpeg", "image/png", "image/webp"}
    assert infer["responses"]["200"]["headers"].keys() == {
        "Server-Timing",
        "X-Log-Id",
        "X-Detections",
        "X-Slices",
    }
    schemas = json.loads(DOCUMENT.read_text("utf-8"))["components"]["schemas"]
    options = [
        "threshold",
        "classes",
        "iouThreshold",
        "classAgnosticNms",
        "visualize",
        "model",
        "slice",
        "maxDetections",
        "imageFormat",
        "imageQuality",
        "logId",
    ]
    assert list(schemas["InferRequest"]["properties"]) == ["image", *options]
    assert list(schemas["InferForm"]["properties"]) == ["image", *options]
    assert [one["name"] for one in infer["parameters"]] == options
    assert list(schemas["BatchRequest"]["properties"]) == ["images", *options]
    assert schemas["BatchRequest"]["properties"]["images"]["maxItems"] == 32
    assert list(schemas["BatchItem"]["properties"]) == ["image", *options[:-1]]


async def test_the_document_follows_the_settings(make_gateway: Any) -> None:
    async with make_gateway(max_batch_images=7) as gateway:
        schemas = (await gateway.get("/openapi.json")).json()["components"]["schemas"]
    assert schemas["BatchRequest"]["properties"]["images"]["maxItems"] == 7


@pytest.mark.parametrize("path", [PATH, PATH + "/batch"])
async def test_its_examples_can_be_sent(gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    async def fetch(_: ImageFetcher, url: str) -> bytes:
        assert url.startswith("https://example.com/")
        return IMAGE

    monkeypatch.setattr(ImageFetcher, "fetch", fetch)
    examples = operation(path)["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) >= 2
    for example in examples.values():
        response = await gateway.post(path, json=example["value"])
        assert response.status_code == 200, response.text
        assert all(one["errorCode"] == 0 for one in response.json()["result"].get("results", []))


# What schemathesis makes of the document ----------------------------------------------------------------------------

schema = schemathesis.openapi.from_dict(
    json.loads(DOCUMENT.read_text("utf-8")),
    config=schemathesis.Config.from_dict({"phases": {"coverage": {"unexpected-methods": []}}}),
)
IMAGES = st.sampled_from([IMAGE, IMAGE, encode(".png"), IMAGE[:300], b""]) | st.binary(max_size=50)
for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, IMAGES)

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@schema.hook
def map_body(_: schemathesis.HookContext, body: Any) -> Any:
    """Most of the strings that stand for an image become one: random ones would all end the same way."""
    if isinstance(body, dict):
        body = dict(body)
        if "image" in body:
            body["image"] = pictured(body["image"])
        if isinstance(body.get("images"), list):
            body["images"] = [map_body(_, one) if isinstance(one, dict) else pictured(one) for one in body["images"]]
    return body


def pictured(value: Any) -> Any:
    if isinstance(value, list):
        return [pictured(one) for one in value]
    if isinstance(value, bytes):
        return IMAGE if len(value) % 4 else value
    return IMAGE64 if isinstance(value, str) and len(value) % 4 else value


class Served(threading.Thread):
    """The gateway on a socket, before a double of Triton, in a thread: schemathesis calls from outside of any loop.

    A connection waits in the socket's queue until the gateway has started.
    """

    def __init__(self) -> None:
        super().__init__(name="gateway")
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._server: uvicorn.Server | None = None

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        triton = FakeTriton()
        await triton.start()
        app = create_app(Settings(triton_url=f"127.0.0.1:{triton.port}"))
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        await self._server.serve([self._listener])
        await triton.stop()

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self.join()
        self._listener.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    async def fetch(_: ImageFetcher, url: str) -> bytes:
        if len(url) % 4 == 0:
            raise InputError("The image URL's host answered with status 404")
        return IMAGE

    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(f"SOD_{name.upper()}", raising=False)
        patch.setattr(ImageFetcher, "fetch", fetch)
        server = Served()
        server.start()
        httpx.get(server.url + "/health", timeout=60).raise_for_status()
        yield server
        server.stop()


ACCEPT = ("*/*", "application/json", "image/jpeg", "image/webp, */*;q=0.1", "image/png", "image/gif")


@schema.parametrize()
@hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck), database=None
)
def test_the_gateway_does_as_the_document_says(case: schemathesis.Case, served: Served) -> None:
    # Another one for another case, and the same one when a case is run again.
    accept = ACCEPT[zlib.crc32(repr((case.body, case.query)).encode()) % len(ACCEPT)]
    response = case.call_and_validate(served.url, checks=CHECKS, headers={"accept": accept})
    served.answers[case.operation.label, response.status_code, response.headers["content-type"][0]] += 1


def test_it_was_asked_for_what_succeeds_and_what_fails(served: Served) -> None:
    """After the test above: what passes because everything is refused says nothing."""
    if not served.answers:
        pytest.skip("the test above was not run")
    json_type = "application/json"
    seen = {response for response, count in served.answers.items() if count >= 5}
    for label in (f"POST {PATH}", f"POST {PATH}/batch"):
        assert {(label, status, json_type) for status in (200, 406, 422)} <= seen, served.answers
    assert {(f"POST {PATH}", 200, f"image/{one}") for one in ("jpeg", "png", "webp")} <= seen, served.answers

"""Clients of the ensemble over gRPC, and of the REST API that the gateway and PaddleX share."""

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

import numpy as np
import pybase64
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from benchmarks.performance.loadgen.closed_loop import RequestError, SendRequest
from sod import interface
from sod.detections import Detections

PATH = "/small-object-detection"
_TIMEOUT_S = 300.0
_BOUNDARY = "sod-benchmark-4f1c2a"
_ERROR_CHARACTERS = 300  # of a response that an error quotes
BodyFormat = Literal["base64", "url", "multipart", "raw"]


@dataclass(frozen=True, slots=True)
class EnsembleClient:
    """Sends one image to the ensemble over gRPC.

    Attributes:
        address: Triton's gRPC address, host:port.
        model: name of the ensemble.
        classes: number of its classes.
        image: encoded.
        threshold: score threshold of every class.
        name: in the results.
    """

    address: str
    model: str
    classes: int
    image: bytes
    threshold: float
    name: str = "ensemble"

    @contextmanager
    def session(self) -> Iterator[SendRequest]:
        """See `closed_loop.Client.session`."""
        inputs = self.inputs()
        with InferenceServerClient(self.address) as client:
            yield partial(infer, client, self.model, inputs)

    def detect(self) -> Detections:
        """The objects of one response; boxes may reach beyond the image."""
        with InferenceServerClient(self.address) as client:
            result = client.infer(self.model, self.inputs(), client_timeout=_TIMEOUT_S)
        count = int(result.as_numpy(interface.NUM_DETECTIONS).flat[0])
        names = (interface.BOXES, interface.SCORES, interface.CLASS_IDS)
        return Detections(*(result.as_numpy(name)[0, :count] for name in names))

    def inputs(self) -> list[InferInput]:
        """The tensors of one request: image BYTES [1, 1], score_threshold FP32 [1, classes]."""
        image = InferInput(interface.IMAGE, [1, 1], "BYTES")
        image.set_data_from_numpy(np.array([[self.image]], np.object_))
        thresholds = InferInput(interface.SCORE_THRESHOLD, [1, self.classes], "FP32")
        thresholds.set_data_from_numpy(np.full((1, self.classes), self.threshold, np.float32))
        return [image, thresholds]


def infer(
    client: InferenceServerClient, model: str, inputs: Sequence[InferInput], headers: dict[str, str] | None = None
) -> None:
    """One inference, whose outputs are not read.

    Raises:
        RequestError: Triton answers with an error, or not in time.
    """
    try:
        client.infer(model, inputs, headers=headers, client_timeout=_TIMEOUT_S)
    except InferenceServerException as error:
        raise RequestError(str(error)) from None


@dataclass(frozen=True, slots=True)
class RestClient:
    """Sends the same request to the REST API again and again.

    Attributes:
        url: address of the server.
        body: of every request.
        content_type: of the body.
        visualize: whether the response must contain the overlay.
        name: in the results.
        query: query string with its question mark, or empty.
    """

    url: str
    body: bytes
    content_type: str
    visualize: bool
    name: str
    query: str = ""

    @contextmanager
    def session(self) -> Iterator[SendRequest]:
        """See `closed_loop.Client.session`."""
        with self._connect() as connection:
            yield partial(self._post, connection)

    def detect(self) -> Detections:
        """The objects of one response."""
        with self._connect() as connection:
            return objects(json.loads(self._post(connection)))

    def _connect(self) -> "closing[http.client.HTTPConnection]":
        parts = urlsplit(self.url)
        return closing(http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_S))

    def _post(self, connection: http.client.HTTPConnection) -> bytes:
        try:
            connection.request("POST", PATH + self.query, self.body, {"Content-Type": self.content_type})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise RequestError(f"{type(error).__name__}: {error}") from None
        if response.status != http.client.OK:
            raise RequestError(f"{response.status}: {content[:_ERROR_CHARACTERS].decode(errors='replace')}")
        # Parsing the JSON would take processor time from the server, so only the overlay's presence is checked. The
        # objects are compared once, before the load.
        has_overlay = b'"image":"' in content or b'"image": "' in content
        if self.visualize and not has_overlay:
            raise RequestError("the response lacks the overlay")
        if has_overlay and not self.visualize:
            raise RequestError("the response has an overlay, which was not requested")
        return content


def objects(response: dict[str, dict[str, list[dict[str, object]]]]) -> Detections:
    """The objects of a response in the contract's JSON."""
    found = response["result"]["detectedObjects"]
    return Detections(
        np.array([one["bbox"] for one in found], np.float32).reshape(-1, 4),
        np.array([one["score"] for one in found], np.float32),
        np.array([one["categoryId"] for one in found], np.int32),
    )


def rest_client(  # noqa: PLR0913 - what a request contains, by name
    url: str,
    image: bytes,
    *,
    name: str,
    threshold: float,
    visualize: bool,
    body_format: BodyFormat = "base64",
    model: str | None = None,
    image_url: str = "",
) -> RestClient:
    """A client that sends one image in one of the formats of the REST API.

    Args:
        url: address of the server.
        image: encoded.
        name: in the results.
        threshold: score threshold of every class.
        visualize: whether the server draws an overlay.
        body_format: of the request body.
        model: name of the model; None for the server's default (PaddleX serves one model and takes no name).
        image_url: for the format "url", the address from which the server fetches the image.
    """
    options = {"threshold": threshold, "visualize": visualize, **({"model": model} if model else {})}
    if body_format in ("base64", "url"):
        text = pybase64.b64encode(image).decode() if body_format == "base64" else image_url
        body = json.dumps({"image": text, **options}).encode()
        return RestClient(url, body, "application/json", visualize, name)
    texts = {key: json.dumps(value) if not isinstance(value, str) else value for key, value in options.items()}
    if body_format == "raw":
        query = "?" + "&".join(f"{key}={value}" for key, value in texts.items())
        return RestClient(url, image, "application/octet-stream", visualize, name, query)
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in texts.items()
    ]
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n\r\n'.encode()
    body = b"".join(parts) + head + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return RestClient(url, body, f"multipart/form-data; boundary={_BOUNDARY}", visualize, name)

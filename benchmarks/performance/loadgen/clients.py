"""Ways to ask: the ensemble over gRPC, the REST API in its forms, of us and of PaddleX."""

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

from benchmarks.performance.loadgen.closed_loop import Ask, AskError
from sod import interface
from sod.detections import Detections

PATH = "/small-object-detection"
_TIMEOUT_S = 300.0
_BOUNDARY = "sod-benchmark-4f1c2a"
Form = Literal["base64", "url", "multipart", "raw"]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The ensemble over gRPC.

    Attributes:
        address: Triton's, host:port.
        model: its name.
        classes: of it.
        image: encoded.
        threshold: of every class.
        name: for the results.
    """

    address: str
    model: str
    classes: int
    image: bytes
    threshold: float
    name: str = "ensemble"

    @contextmanager
    def session(self) -> Iterator[Ask]:
        """As `Client.session`."""
        inputs = self.inputs()
        with InferenceServerClient(self.address) as client:
            yield partial(_infer, client, self.model, inputs)

    def detect(self) -> Detections:
        """What it finds, as it leaves the ensemble."""
        with InferenceServerClient(self.address) as client:
            result = client.infer(self.model, self.inputs(), client_timeout=_TIMEOUT_S)
        count = int(result.as_numpy(interface.NUM_DETECTIONS).flat[0])
        names = (interface.BOXES, interface.SCORES, interface.CLASS_IDS)
        return Detections(*(result.as_numpy(name)[0, :count] for name in names))

    def inputs(self) -> list[InferInput]:
        """Tensors of one request."""
        image = InferInput(interface.IMAGE, [1, 1], "BYTES")
        image.set_data_from_numpy(np.array([[self.image]], np.object_))
        thresholds = InferInput(interface.SCORE_THRESHOLD, [1, self.classes], "FP32")
        thresholds.set_data_from_numpy(np.full((1, self.classes), self.threshold, np.float32))
        return [image, thresholds]


def _infer(client: InferenceServerClient, model: str, inputs: Sequence[InferInput]) -> None:
    try:
        client.infer(model, inputs, client_timeout=_TIMEOUT_S)
    except InferenceServerException as error:
        raise AskError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Rest:
    """The REST API.

    Attributes:
        url: the server's.
        body: of every request.
        content_type: of it.
        visualize: whether an overlay must come back.
        name: for the results.
        query: of the path, with its question mark.
    """

    url: str
    body: bytes
    content_type: str
    visualize: bool
    name: str
    query: str = ""

    @contextmanager
    def session(self) -> Iterator[Ask]:
        """As `Client.session`."""
        parts = urlsplit(self.url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_S)) as line:
            yield partial(self._ask, line)

    def detect(self) -> Detections:
        """What it finds."""
        parts = urlsplit(self.url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_S)) as line:
            return objects(json.loads(self._ask(line)))

    def _ask(self, line: http.client.HTTPConnection) -> bytes:
        try:
            line.request("POST", PATH + self.query, self.body, {"Content-Type": self.content_type})
            reply = line.getresponse()
            answer = reply.read()
        except (OSError, http.client.HTTPException) as error:
            line.close()
            raise AskError(f"{type(error).__name__}: {error}") from None
        if reply.status != http.client.OK:
            raise AskError(f"{reply.status}: {answer[:300].decode(errors='replace')}")
        # JSON is looked into once, before the load; here only for what a failed drawing would lack.
        if self.visualize != (b'"image":"' in answer or b'"image": "' in answer):
            raise AskError(f"the overlay is {'missing' if self.visualize else 'there, and was not asked for'}")
        return answer


def objects(reply: dict[str, dict[str, list[dict[str, object]]]]) -> Detections:
    """The objects of a reply of the contract."""
    found = reply["result"]["detectedObjects"]
    return Detections(
        np.array([one["bbox"] for one in found], np.float32).reshape(-1, 4),
        np.array([one["score"] for one in found], np.float32),
        np.array([one["categoryId"] for one in found], np.int32),
    )


def rest(  # noqa: PLR0913 - what a request can say, by name
    url: str,
    image: bytes,
    *,
    name: str,
    threshold: float,
    visualize: bool,
    form: Form = "base64",
    model: str | None = None,
    image_url: str = "",
) -> Rest:
    """One of the forms that the REST API takes.

    Args:
        url: the server's.
        image: encoded.
        name: for the results.
        threshold: of every class.
        visualize: whether to draw.
        form: of the body.
        model: to ask; None for the server's default (PaddleX knows no other).
        image_url: where the server finds the image, for the form "url".
    """
    options = {"threshold": threshold, "visualize": visualize, **({"model": model} if model else {})}
    if form in ("base64", "url"):
        text = pybase64.b64encode(image).decode() if form == "base64" else image_url
        body = json.dumps({"image": text, **options}).encode()
        return Rest(url, body, "application/json", visualize, name)
    texts = {key: json.dumps(value) if not isinstance(value, str) else value for key, value in options.items()}
    if form == "raw":
        query = "?" + "&".join(f"{key}={value}" for key, value in texts.items())
        return Rest(url, image, "application/octet-stream", visualize, name, query)
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in texts.items()
    ]
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n\r\n'.encode()
    body = b"".join(parts) + head + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return Rest(url, body, f"multipart/form-data; boundary={_BOUNDARY}", visualize, name)

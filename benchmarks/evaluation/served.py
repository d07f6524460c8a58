"""Detect objects through Triton's gRPC or through the gateway, on a running server or on one started for it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pybase64
from tqdm import tqdm
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from benchmarks import servers
from benchmarks.evaluation.errors import EvaluationError
from server.launching import StartError
from sod import interface
from sod.datasets.dataset import LabelledImage
from sod.detections import Detections
from sod.frame import clip

# The score threshold with which PaddleDetection evaluates PP-YOLOE (configs/smalldet: nms.score_threshold).
SCORE_THRESHOLD = 0.01
_PATH = "/small-object-detection"
_TIMEOUT_S = 120.0
_SLICES_TIMEOUT_S = 1800.0

Predict = Callable[[bytes], Detections]


@dataclass(frozen=True, slots=True)
class Model:
    """A served model, with its class names by class id."""

    name: str
    labels: tuple[str, ...]


def detect_all(predict: Predict, images: Sequence[LabelledImage], concurrency: int, title: str) -> list[Detections]:
    """The detections of every image, in order, with a progress bar on stderr.

    Args:
        predict: detects objects in one encoded image.
        images: the images.
        concurrency: number of concurrent requests.
        title: of the progress bar.

    Raises:
        EvaluationError: an image is rejected, or the server does not respond.
    """

    def detect(labelled: LabelledImage) -> Detections:
        try:
            found = predict(labelled.image.read_bytes())
        except (InferenceServerException, httpx.HTTPError) as error:
            raise EvaluationError(f"{labelled.image}: the server's error is {error}") from error
        # The ensemble's boxes may reach beyond the image; the gateway's and the labels' do not.
        return clip(found, labelled.width, labelled.height)

    with ThreadPoolExecutor(concurrency) as pool:
        results = tqdm(pool.map(detect, images), title, len(images), unit="image", file=sys.stderr)
        try:
            return list(results)
        except EvaluationError:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def through_triton(address: str, model: Model) -> Iterator[Predict]:
    """A client of the ensemble over gRPC."""
    with InferenceServerClient(address) as client:

        def predict(image: bytes) -> Detections:
            image_tensor = InferInput(interface.IMAGE, [1, 1], "BYTES")
            image_tensor.set_data_from_numpy(np.array([[image]], np.object_))
            threshold = InferInput(interface.SCORE_THRESHOLD, [1, len(model.labels)], "FP32")
            threshold.set_data_from_numpy(np.full((1, len(model.labels)), SCORE_THRESHOLD, np.float32))
            result = client.infer(model.name, [image_tensor, threshold], client_timeout=_TIMEOUT_S)
            count = int(result.as_numpy(interface.NUM_DETECTIONS).flat[0])
            boxes, scores, class_ids = (
                result.as_numpy(name)[0, :count] for name in (interface.BOXES, interface.SCORES, interface.CLASS_IDS)
            )
            return Detections(boxes, scores, class_ids)

        yield predict


@contextmanager
def through_gateway(url: str, model: Model, slices: Any = None) -> Iterator[Predict]:
    """A client of the gateway's REST API.

    Args:
        url: of the gateway.
        model: the served model.
        slices: value of the request's field `slice`; None detects images whole.
    """
    timeout_s = _TIMEOUT_S if slices is None else _SLICES_TIMEOUT_S
    with httpx.Client(base_url=url, timeout=timeout_s) as http:

        def predict(image: bytes) -> Detections:
            text = pybase64.b64encode(image).decode()
            body: dict[str, Any] = {
                "image": text,
                "threshold": SCORE_THRESHOLD,
                "visualize": False,
                "model": model.name,
            }
            if slices is not None:
                body["slice"] = slices
            response = http.post(_PATH, json=body)
            if response.is_error:
                raise httpx.HTTPError(_message(response))
            found = response.json()["result"]["detectedObjects"]
            return Detections(
                np.array([one["bbox"] for one in found], np.float32).reshape(-1, 4),
                np.array([one["score"] for one in found], np.float32),
                np.array([one["categoryId"] for one in found], np.int32),
            )

        yield predict


def _message(response: httpx.Response) -> str:
    """The status and, where there is one, the message of an error response."""
    try:
        return f"{response.status_code}: {response.json()['errorMsg']}"
    except (ValueError, LookupError, TypeError):
        return f"{response.status_code} {response.reason_phrase}"


def find_model(url: str, name: str | None) -> Model:
    """A model of the gateway at `url`; the name None means its default model.

    Raises:
        EvaluationError: no gateway responds there, or it has no such model.
    """
    try:
        models = httpx.get(f"{url}/models", timeout=_TIMEOUT_S).raise_for_status().json()["result"]["models"]
    except (httpx.HTTPError, ValueError, LookupError) as error:
        raise EvaluationError(
            f"no server responds at {url} ({error}): start one with make serve, or give another --url"
        ) from None
    for model in models:
        if name in (None, model["name"]):
            return Model(model["name"], tuple(model["labels"]))
    raise EvaluationError(f"there is no model {name}; the server has {', '.join(model['name'] for model in models)}")


@contextmanager
def started(profile: str, model: str | None, arguments: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Start this checkout's server in a profile on free ports; yields its URL and Triton's gRPC address.

    Raises:
        EvaluationError: it ends, or is not ready in time; its messages are on stderr.
    """
    try:
        with servers.started(profile, [model] if model else [], arguments) as server:
            yield server.url, server.grpc
    except StartError as error:
        raise EvaluationError(str(error)) from None

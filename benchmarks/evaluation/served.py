"""Detections of what is served: through Triton's gRPC, through the gateway, or of a server started for it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import numpy as np
import pybase64
from tqdm import tqdm
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from benchmarks import servers
from benchmarks.evaluation.datasets import Sample
from benchmarks.evaluation.errors import EvaluationError
from server.launching import StartError
from sod import interface
from sod.detections import Detections
from sod.frame import clip

# PP-YOLOE's own score threshold of evaluation (PaddleDetection configs/smalldet: nms.score_threshold).
SCORE_THRESHOLD = 0.01
_PATH = "/small-object-detection"
_TIMEOUT_S = 120.0

Predict = Callable[[bytes], Detections]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is served."""

    name: str
    labels: tuple[str, ...]


def detect_all(predict: Predict, samples: Sequence[Sample], concurrency: int, title: str) -> list[Detections]:
    """The detections of every image, in order, with a progress bar on stderr.

    Raises:
        EvaluationError: an image was refused, or the server does not answer.
    """

    def detect(sample: Sample) -> Detections:
        try:
            found = predict(sample.image.read_bytes())
        except (InferenceServerException, httpx.HTTPError) as error:
            raise EvaluationError(f"{sample.image}: the server answers {error}") from error
        # The ensemble's boxes may reach past the edges; the gateway's, and the labels, do not.
        return clip(found, sample.width, sample.height)

    with ThreadPoolExecutor(concurrency) as pool:
        results = tqdm(pool.map(detect, samples), title, len(samples), unit="image", file=sys.stderr)
        try:
            return list(results)
        except EvaluationError:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def through_triton(address: str, model: Model) -> Iterator[Predict]:
    """The ensemble over gRPC; coordinates and scores as they leave it."""
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
def through_gateway(url: str, model: Model) -> Iterator[Predict]:
    """The REST API, as any client has it."""
    with httpx.Client(base_url=url, timeout=_TIMEOUT_S) as http:

        def predict(image: bytes) -> Detections:
            image_tensor = pybase64.b64encode(image).decode()
            body = {"image": image_tensor, "threshold": SCORE_THRESHOLD, "visualize": False, "model": model.name}
            found = http.post(_PATH, json=body).raise_for_status().json()["result"]["detectedObjects"]
            return Detections(
                np.array([one["bbox"] for one in found], np.float32).reshape(-1, 4),
                np.array([one["score"] for one in found], np.float32),
                np.array([one["categoryId"] for one in found], np.int32),
            )

        yield predict


def find_model(url: str, name: str | None) -> Model:
    """A model of the gateway at `url`; None is its default.

    Raises:
        EvaluationError: nothing answers there, or there is no such model.
    """
    try:
        models = httpx.get(f"{url}/models", timeout=_TIMEOUT_S).raise_for_status().json()["result"]["models"]
    except (httpx.HTTPError, ValueError, LookupError) as error:
        raise EvaluationError(
            f"no server answers at {url} ({error}): start it with make serve, or give --url"
        ) from None
    for model in models:
        if name in (None, model["name"]):
            return Model(model["name"], tuple(model["labels"]))
    raise EvaluationError(f"there is no model {name}; loaded are {', '.join(model['name'] for model in models)}")


@contextmanager
def started(profile: str, model: str | None, arguments: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """A server of this checkout in a profile, on free ports; yields its URL and Triton's gRPC address.

    Raises:
        EvaluationError: it ends, or does not become ready; its own messages have gone to stderr.
    """
    try:
        with servers.started(profile, [model] if model else [], arguments) as server:
            yield server.url, server.grpc
    except StartError as error:
        raise EvaluationError(str(error)) from None

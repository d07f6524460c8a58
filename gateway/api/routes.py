"""The endpoints: each reads its request, calls the detector and builds the response."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response

from gateway.api.content_negotiation import accepted_format
from gateway.api.openapi import describe
from gateway.api.request_body import ParsedRequest, read_batch, read_image
from gateway.api.responses import batch_response, detection_response, overlay_response
from gateway.api.schemas import (
    BatchResponse,
    Envelope,
    InferOptions,
    InferResponse,
    ModelDescription,
    ModelsResponse,
    ModelsResult,
    Slices,
)
from gateway.errors import NotReadyError
from gateway.inference.batch import BatchRunner
from gateway.inference.detector import DetectionRequest, Detector
from gateway.inference.health import Readiness
from gateway.inference.sliced import SliceOptions
from gateway.limits.workers import Workers
from gateway.observability import metrics
from gateway.observability.request_context import current_log_id
from gateway.observability.triton_metrics import TritonMetrics
from sod.encode import FORMATS, ImageFormat
from sod.merging import MergeOptions

INFER_PATH = "/small-object-detection"
BATCH_PATH = "/small-object-detection/batch"
# The paths to which the rate limit applies.
DETECTION_PATHS = (INFER_PATH, BATCH_PATH)


@dataclass(frozen=True, slots=True)
class Services:
    """The objects that the endpoints use while the application runs."""

    detector: Detector
    batches: BatchRunner
    readiness: Readiness
    workers: Workers
    visualize: bool
    max_batch_images: int


async def _services(request: Request) -> Services:  # async, or FastAPI would call it in a thread
    services: Services = request.app.state.services
    return services


router = APIRouter()


# The functions parse the bodies themselves: FastAPI would refuse JSON with another content type (curl's `-d`).
@router.post(INFER_PATH, response_model=InferResponse, **describe("infer"))
async def infer(request: Request, services: Annotated[Services, Depends(_services)]) -> Response:
    """The objects of one image, by class id, then by score, and the image with their boxes drawn.

    The body is JSON, a form, or the image itself with its options in the query string. With `Accept: image/jpeg` (or
    `image/png`, `image/webp`) the response is the drawn image itself.
    """
    parsed = await read_image(request)
    overlay_format = _negotiated_format(request, parsed.options)
    result = await services.detector.detect(_detection_request(parsed, services.visualize, overlay_format))
    return detection_response(result) if overlay_format is None else overlay_response(result)


@router.post(BATCH_PATH, response_model=BatchResponse, **describe("inferBatch"))
async def infer_batch(request: Request, services: Annotated[Services, Depends(_services)]) -> Response:
    """The objects of each image, in the order of the request; an image that fails does not fail the others.

    The body is JSON, or a form with several parts `image`.
    """
    images = await read_batch(request, services.max_batch_images)
    _negotiate(request, (), "because it is a batch")
    requests = [one if isinstance(one, Exception) else _detection_request(one, services.visualize) for one in images]
    results = await services.batches.detect(requests)
    return await services.workers.run(batch_response, results)


@router.get("/models", response_model=ModelsResponse, **describe("listModels"))
async def models(services: Annotated[Services, Depends(_services)]) -> Response:
    """Every detector that is ready, with its class labels; one that Triton has just loaded within some seconds."""
    infos, default = await services.detector.models()
    described = [
        ModelDescription(
            name=info.name,
            labels=list(info.labels),
            inputSize=None if info.input_size is None else list(info.input_size),
            default=info.name == default,
            sha256=info.sha256,
        )
        for info in infos
    ]
    described.sort(key=lambda model: not model.default)
    result = ModelsResult(models=described)
    document = ModelsResponse(logId=current_log_id(), errorCode=0, errorMsg="Success", result=result)
    return Response(document.model_dump_json(), HTTPStatus.OK, media_type="application/json")


@router.get("/health/live", **describe("checkLive"))
@router.get("/health", **describe("checkHealth"))
async def health() -> Envelope:
    """The process responds; this says nothing about Triton."""
    return _healthy()


@router.get("/health/ready", **describe("checkReady"))
async def ready(services: Annotated[Services, Depends(_services)]) -> Envelope:
    """For a readiness probe: an inference through the whole ensemble has just succeeded."""
    problem = await services.readiness.problem()
    if problem is not None:
        raise NotReadyError(problem)
    return _healthy()


@router.get("/metrics", response_class=Response, **describe("readMetrics"))
async def read_metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format 0.0.4."""
    triton_metrics: TritonMetrics = request.app.state.triton_metrics
    text = await triton_metrics.text()
    return Response(await asyncio.to_thread(metrics.render) + text, headers={"content-type": metrics.CONTENT_TYPE})


def _healthy() -> Envelope:
    return Envelope(logId=current_log_id(), errorCode=0, errorMsg="Healthy")


def _negotiate(request: Request, formats: Sequence[ImageFormat], reason: str = "") -> ImageFormat | None:
    return accepted_format(",".join(request.headers.getlist("accept")), formats, reason)


def _negotiated_format(request: Request, options: InferOptions) -> ImageFormat | None:
    """The format of the overlay that is to be the response; None for JSON."""
    if options.visualize is False:
        return _negotiate(request, (), "because `visualize` is false")
    if options.imageFormat is None:
        return _negotiate(request, FORMATS)
    return _negotiate(request, (options.imageFormat,), "because of `imageFormat`")


def _detection_request(
    parsed: ParsedRequest, visualize: bool, overlay_format: ImageFormat | None = None
) -> DetectionRequest:
    """The detector's request.

    Args:
        parsed: The client's request.
        visualize: Whether to draw an overlay if the client does not say.
        overlay_format: Format of an overlay that is itself the response; it is then drawn in any case.
    """
    options = parsed.options
    if options.visualize is not None:
        visualize = options.visualize
    return DetectionRequest(
        image=parsed.image,
        threshold=options.threshold,
        classes=None if options.classes is None else tuple(options.classes),
        iou_threshold=options.iouThreshold,
        class_agnostic=options.classAgnosticNms is True,
        model=options.model,
        slices=_slice_options(options.slice, class_agnostic=options.classAgnosticNms is True),
        max_detections=options.maxDetections,
        visualize=visualize or overlay_format is not None,
        overlay_format=overlay_format or options.imageFormat or "jpeg",
        quality=options.imageQuality,
    )


def _slice_options(given: bool | Literal["auto"] | Slices | None, *, class_agnostic: bool) -> SliceOptions | None:
    if given is None or given is False:
        return None
    if given is True or given == "auto":
        return SliceOptions(only_if_larger=given == "auto", merging=MergeOptions(class_agnostic=class_agnostic))
    merging = MergeOptions(given.combine, given.matchMetric, given.matchThreshold, class_agnostic)
    return SliceOptions(given.size, given.overlap, given.fullImage, merging=merging)

"""The endpoints: HTTP in, HTTP out, nothing else."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from gateway.api import responses as answers
from gateway.api.content_negotiation import accepted_format
from gateway.api.openapi import (
    BATCH_EXTRA,
    BATCH_RESPONSES,
    INFER_EXTRA,
    INFER_RESPONSES,
    KEY_DOCS,
    KEY_OPTIONAL,
    error_responses,
)
from gateway.api.request_body import ParsedRequest, read_batch, read_image
from gateway.api.schemas import (
    BatchResponse,
    Envelope,
    InferOptions,
    InferResponse,
    ModelDescription,
    ModelsResponse,
    ModelsResult,
)
from gateway.errors import NotReadyError, current_log_id
from gateway.inference.batch import Batches
from gateway.inference.detector import DetectionRequest, Detector
from gateway.inference.health import Readiness
from gateway.limits.workers import Workers
from sod.encode import FORMATS, ImageFormat

INFER_PATH = "/small-object-detection"
BATCH_PATH = "/small-object-detection/batch"
MODELS_PATH = "/models"
# What the rate limit counts.
DETECTION_PATHS = (INFER_PATH, BATCH_PATH)


@dataclass(frozen=True, slots=True)
class Services:
    """What the endpoints work with while the application runs."""

    detector: Detector
    batches: Batches
    readiness: Readiness
    workers: Workers
    visualize: bool
    max_batch_images: int


async def _services(request: Request) -> Services:  # async, or FastAPI would call it in a thread
    services: Services = request.app.state.services
    return services


router = APIRouter()


@router.post(
    INFER_PATH,
    operation_id="infer",
    summary="Detect small objects in an image",
    tags=["detection"],
    response_model=InferResponse,
    responses=INFER_RESPONSES,
    dependencies=KEY_DOCS,
    # The body is parsed here, not by FastAPI, which would refuse JSON under another content type (curl's `-d`).
    openapi_extra=INFER_EXTRA,
)
async def infer(request: Request, services: Annotated[Services, Depends(_services)]) -> Response:
    """The objects of one image, by class id, then by score, and the image with their boxes drawn.

    The body is JSON, a form, or the image itself with its options in the query string. `Accept: image/jpeg` (or
    `image/png`, `image/webp`) is answered with the drawn image itself.
    """
    asked = await read_image(request)
    image_format = _wanted_format(request, asked.options)
    with asked.locating():
        outcome = await services.detector.detect(_question(asked, services.visualize, image_format))
    return answers.infer(outcome) if image_format is None else answers.image(outcome)


@router.post(
    BATCH_PATH,
    operation_id="inferBatch",
    summary="Detect small objects in several images",
    tags=["detection"],
    response_model=BatchResponse,
    responses=BATCH_RESPONSES,
    dependencies=KEY_DOCS,
    openapi_extra=BATCH_EXTRA,
)
async def infer_batch(request: Request, services: Annotated[Services, Depends(_services)]) -> Response:
    """The objects of each image, in the order of the request; an image that fails does not fail the others.

    The body is JSON, or a form with several parts `image`.
    """
    images, _ = await read_batch(request, services.max_batch_images)
    accepted_format(_accept(request), (), "because it is a batch")
    questions = [one if isinstance(one, Exception) else _question(one, services.visualize) for one in images]
    outcomes = await services.batches.detect(questions)
    return await services.workers.run(answers.batch, outcomes)


@router.get(
    MODELS_PATH,
    operation_id="listModels",
    tags=["detection"],
    summary="The models that a request may name",
    response_model=ModelsResponse,
    responses=error_responses(401, 500, 503, 504),
    dependencies=KEY_DOCS,
    openapi_extra=KEY_OPTIONAL,
)
async def models(services: Annotated[Services, Depends(_services)]) -> Response:
    """Every detector that is ready, with its class labels; one that Triton has just loaded within some seconds."""
    infos, default = await services.detector.models()
    described = [
        ModelDescription(
            name=info.name,
            labels=list(info.labels),
            inputSize=None if info.input_size is None else list(info.input_size),
            default=info.name == default,
        )
        for info in infos
    ]
    described.sort(key=lambda model: not model.default)
    result = ModelsResult(models=described)
    document = ModelsResponse(logId=current_log_id(), errorCode=0, errorMsg="Success", result=result)
    return Response(document.model_dump_json(), HTTPStatus.OK, media_type="application/json")


@router.get("/health", operation_id="checkHealth", tags=["health"], summary="Whether the gateway runs")
async def health() -> Envelope:
    """PaddleX's health check; it says nothing of the inference server."""
    return _healthy()


@router.get("/health/live", operation_id="checkLive", tags=["health"], summary="Whether the gateway runs")
async def live() -> Envelope:
    """For a liveness probe."""
    return _healthy()


@router.get(
    "/health/ready",
    operation_id="checkReady",
    tags=["health"],
    summary="Whether an image would be answered",
    responses=error_responses(503),
)
async def ready(services: Annotated[Services, Depends(_services)]) -> Envelope:
    """For a readiness probe: an inference through the whole ensemble has just succeeded."""
    problem = await services.readiness.problem()
    if problem is not None:
        raise NotReadyError(problem)
    return _healthy()


def _healthy() -> Envelope:
    return Envelope(logId=current_log_id(), errorCode=0, errorMsg="Healthy")


def _accept(request: Request) -> str:
    return ",".join(request.headers.getlist("accept"))


def _wanted_format(request: Request, options: InferOptions) -> ImageFormat | None:
    """The format of the image that is to be the answer; None for JSON."""
    if options.visualize is False:
        return accepted_format(_accept(request), (), "because `visualize` is false")
    if options.imageFormat is None:
        return accepted_format(_accept(request), FORMATS)
    return accepted_format(_accept(request), (options.imageFormat,), "because of `imageFormat`")


def _question(asked: ParsedRequest, visualize: bool, answer_format: ImageFormat | None = None) -> DetectionRequest:
    """What the detector is asked.

    Args:
        asked: by the client.
        visualize: Whether to draw where the client does not say.
        answer_format: The format of an image that is the answer itself; it is drawn in any case.
    """
    options = asked.options
    if options.visualize is not None:
        visualize = options.visualize
    return DetectionRequest(
        image=asked.image,
        threshold=options.threshold,
        model=options.model,
        max_detections=options.maxDetections,
        visualize=visualize or answer_format is not None,
        image_format=answer_format or options.imageFormat or "jpeg",
        quality=options.imageQuality,
    )

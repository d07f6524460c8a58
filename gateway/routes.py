"""The endpoints: HTTP in, HTTP out, nothing else."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from gateway.detector import Detector, Outcome
from gateway.errors import NotReadyError, UnsupportedEncodingError, current_log_id, note_log_id
from gateway.health import Readiness
from gateway.request_scope import stage
from gateway.schemas import (
    DetectedObject,
    Envelope,
    InferRequest,
    InferResponse,
    InferResult,
    ModelDescription,
    ModelsResponse,
    ModelsResult,
    parse_document,
    parse_request,
)

INFER_PATH = "/small-object-detection"
MODELS_PATH = "/models"

_LOG_ID = "9a3a0dd4-5d4e-4a6c-9d61-5ac5e7a7c0c1"
# Status → (what it means, an errorMsg).
_ERRORS = {
    408: (
        "The body did not come in time.",
        "The request body paused for 10 s and was not complete: 1,024 bytes came",
    ),
    413: (
        "The body, or the picture, has too many bytes.",
        "The request body is larger than 67,108,864 bytes: send a smaller picture, or its URL",
    ),
    415: ("The body is compressed.", "The body is sent with Content-Encoding 'gzip': send plain JSON"),
    422: (
        "The request does not fit its schema (then `errorMsg` is a JSON list), or its picture cannot be had or read.",
        '[{"type": "missing", "loc": "body.image", "msg": "Field required"}]',
    ),
    500: ("A defect of the gateway.", "Internal server error"),
    503: (
        "The inference server cannot answer now, or too many requests are inside; `Retry-After` says when to try "
        "again.",
        "The inference server cannot be reached or is not ready; try again",
    ),
    504: ("The answer was not ready in time.", "The answer was not ready within 60 s; try again"),
}


@dataclass(frozen=True, slots=True)
class Services:
    """What the endpoints work with while the application runs."""

    detector: Detector
    readiness: Readiness
    visualize: bool


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _error_docs(*statuses: int) -> dict[int | str, dict[str, Any]]:
    docs: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        description, message = _ERRORS[status]
        example = {"logId": _LOG_ID, "errorCode": status, "errorMsg": message}
        docs[status] = {
            "model": Envelope,
            "description": description,
            "content": {"application/json": {"example": example}},
        }
    return docs


router = APIRouter()


@router.post(
    INFER_PATH,
    operation_id="infer",
    summary="Detect small objects in a picture",
    tags=["detection"],
    response_model=InferResponse,
    responses=_error_docs(408, 413, 415, 422, 500, 503, 504),
    # The body is parsed here, not by FastAPI, which would refuse JSON under another content type (curl's `-d`).
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": InferRequest.model_json_schema()}}}
    },
)
async def infer(request: Request, services: Annotated[Services, Depends(_services)]) -> Response:
    """The objects of one picture, by class id, then by score, and the picture with their boxes drawn."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedEncodingError(f"The body is sent with Content-Encoding {encoding[:20]!r}: send plain JSON")
    with stage("body"):
        body = await request.body()
    with stage("parse"):
        document = parse_document(body)
        # Known before the document is validated, so that every later error carries it.
        note_log_id(document)
        asked = parse_request(document)
    visualize = services.visualize if asked.visualize is None else asked.visualize
    outcome = await services.detector.detect(asked.image, asked.threshold, visualize=visualize, model_name=asked.model)
    return _json(_infer_response(outcome))


@router.get(
    MODELS_PATH,
    operation_id="listModels",
    tags=["detection"],
    summary="The models that a request may name",
    response_model=ModelsResponse,
    responses=_error_docs(503),
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
    summary="Whether a picture would be answered",
    response_model=Envelope,
    responses=_error_docs(503),
)
async def ready(services: Annotated[Services, Depends(_services)]) -> Response:
    """For a readiness probe: an inference through the whole ensemble has just succeeded."""
    problem = await services.readiness.problem()
    if problem is not None:
        raise NotReadyError(problem)
    return _json(_healthy())


def _healthy() -> Envelope:
    return Envelope(logId=current_log_id(), errorCode=0, errorMsg="Healthy")


def _infer_response(outcome: Outcome) -> InferResponse:
    found, labels = outcome.detections, outcome.labels
    rows = zip(found.boxes.tolist(), found.class_ids.tolist(), found.scores.tolist(), strict=True)
    objects = [
        DetectedObject(
            bbox=box,
            categoryId=class_id,
            categoryName=labels[class_id] if 0 <= class_id < len(labels) else str(class_id),
            score=score,
        )
        for box, class_id, score in rows
    ]
    result = InferResult(detectedObjects=objects, image=outcome.overlay)
    return InferResponse(logId=current_log_id(), errorCode=0, errorMsg="Success", result=result)


def _json(document: Envelope) -> Response:
    """Serialise once; FastAPI would validate, convert and serialise the picture again."""
    body = document.model_dump_json(exclude_none=True).encode()
    return Response(body, HTTPStatus.OK, media_type="application/json")

"""The endpoint for those who watch the service."""

import asyncio

from fastapi import APIRouter, Request, Response

from gateway.api.openapi import KEY_DOCS, KEY_OPTIONAL, error_responses
from gateway.observability import metrics
from gateway.observability.triton_metrics import TritonMetrics

METRICS_PATH = "/metrics"

router = APIRouter()


@router.get(
    METRICS_PATH,
    operation_id="readMetrics",
    tags=["operations"],
    summary="Prometheus metrics",
    response_class=Response,
    dependencies=KEY_DOCS,
    openapi_extra=KEY_OPTIONAL,
    responses={
        **error_responses(401),
        200: {
            "description": "The gateway's metrics, and Triton's (`nv_…`) where they can be had.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "sod_requests_in_flight 1.0\n"}},
        },
    },
)
async def read_metrics(request: Request) -> Response:
    """In the text format 0.0.4."""
    tritons: TritonMetrics = request.app.state.triton_metrics
    text = await tritons.text()
    return Response(await asyncio.to_thread(metrics.render) + text, headers={"content-type": metrics.CONTENT_TYPE})

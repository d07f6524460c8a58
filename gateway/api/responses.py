"""Detection results to HTTP responses."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Any, get_args
from urllib.parse import quote

import orjson
import pybase64
from fastapi import Response

from gateway.api.validation import InvalidRequestError
from gateway.error_responses import log_server_error, status_and_message
from gateway.errors import FieldError
from gateway.inference.detector import DetectionResult
from gateway.observability.request_context import Stage, current_log_id, current_request

LOG_ID_HEADER = "X-Log-Id"
DETECTIONS_HEADER = "X-Detections"
SLICES_HEADER = "X-Slices"
TIMING_HEADER = "Server-Timing"
# In a header a log id is cut off here; clients may send megabytes.
_MAX_LOG_ID = 200


def detection_response(result: DetectionResult) -> Response:
    """JSON: the objects of one image, and its overlay in base64."""
    return _json_response(_infer_result(result), _slices_header(result))


def batch_response(results: Sequence[DetectionResult | Exception]) -> Response:
    """JSON: the result or error of each image. With many images it takes long enough for a worker thread."""
    return _json_response({"results": [_batch_entry(result) for result in results]})


def overlay_response(result: DetectionResult) -> Response:
    """The overlay itself, with the log id and the number of objects in headers."""
    headers = {
        # Percent-encoded where a header cannot hold the character.
        LOG_ID_HEADER: quote(current_log_id()[:_MAX_LOG_ID], safe="!#$&'()*+,/:;=?@[]~"),
        DETECTIONS_HEADER: str(len(result.detections)),
    }
    headers |= _slices_header(result) | _timing_header()
    return Response(result.overlay, HTTPStatus.OK, headers, f"image/{result.overlay_format}")


def _infer_result(result: DetectionResult) -> dict[str, Any]:
    detections, labels = result.detections, result.labels
    rows = zip(detections.boxes.tolist(), detections.class_ids.tolist(), detections.scores.tolist(), strict=True)
    document: dict[str, Any] = {
        "detectedObjects": [
            {
                "bbox": box,
                "categoryId": class_id,
                "categoryName": labels[class_id] if 0 <= class_id < len(labels) else str(class_id),
                "score": score,
            }
            for box, class_id, score in rows
        ]
    }
    if result.overlay is not None:
        # Base64 needs no escaping; as a fragment orjson does not scan it for characters that would.
        document["image"] = orjson.Fragment(b'"%b"' % pybase64.b64encode(result.overlay))
    return document


def _batch_entry(result: DetectionResult | Exception) -> dict[str, Any]:
    if isinstance(result, Exception):
        error = InvalidRequestError.from_field(result, "body") if isinstance(result, FieldError) else result
        log_server_error(error)
        status, message = status_and_message(error)
        return {"errorCode": int(status), "errorMsg": message}
    return {"errorCode": 0, "errorMsg": "Success", "result": _infer_result(result)}


def _json_response(result: dict[str, Any], headers: Mapping[str, str] = {}) -> Response:
    # Not validated by a model; a test compares these documents with `gateway.api.schemas`.
    document = {"logId": current_log_id(), "errorCode": 0, "errorMsg": "Success", "result": result}
    return Response(orjson.dumps(document), HTTPStatus.OK, {**headers, **_timing_header()}, "application/json")


def _slices_header(result: DetectionResult) -> dict[str, str]:
    return {SLICES_HEADER: str(result.slices)} if result.slices else {}


def _timing_header() -> dict[str, str]:
    """`Server-Timing`: milliseconds of each stage, and in total since the request arrived."""
    request = current_request()
    if request is None:
        return {}
    durations = [(name, request.seconds[name]) for name in get_args(Stage) if name in request.seconds]
    durations.append(("total", perf_counter() - request.started))
    return {TIMING_HEADER: ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in durations)}

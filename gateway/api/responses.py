"""Outcomes to responses."""

from collections.abc import Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Any, get_args
from urllib.parse import quote

import orjson
import pybase64
from fastapi import Response

from gateway.errors import current_log_id, describe
from gateway.inference.detector import DetectionResult
from gateway.observability.request_context import Stage, current_request

LOG_ID_HEADER = "X-Log-Id"
DETECTIONS_HEADER = "X-Detections"
TIMING_HEADER = "Server-Timing"
# A header is no place for a log id of megabytes.
_LONGEST_LOG_ID = 200


def infer(outcome: DetectionResult) -> Response:
    """The objects of one image, and its overlay in base64."""
    return _success(_infer_result(outcome))


def batch(outcomes: Sequence[DetectionResult | Exception]) -> Response:
    """What came of each image. With many of them it takes long enough to be done beside the event loop."""
    return _success({"results": [_entry(outcome) for outcome in outcomes]})


def image(outcome: DetectionResult) -> Response:
    """The drawn image itself; the log id and the number of objects are headers."""
    headers = {
        # What no header can hold is written as in a URL.
        LOG_ID_HEADER: quote(current_log_id()[:_LONGEST_LOG_ID], safe="!#$&'()*+,/:;=?@[]~"),
        DETECTIONS_HEADER: str(len(outcome.detections)),
    }
    return Response(outcome.overlay, HTTPStatus.OK, headers | _timing(), f"image/{outcome.overlay_format}")


def _infer_result(outcome: DetectionResult) -> dict[str, Any]:
    found, labels = outcome.detections, outcome.labels
    rows = zip(found.boxes.tolist(), found.class_ids.tolist(), found.scores.tolist(), strict=True)
    result: dict[str, Any] = {
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
    if outcome.overlay is not None:
        # Nothing in base64 needs escaping: half a megabyte less to look through.
        result["image"] = orjson.Fragment(b'"%b"' % pybase64.b64encode(outcome.overlay))
    return result


def _entry(outcome: DetectionResult | Exception) -> dict[str, Any]:
    if isinstance(outcome, Exception):
        status, message = describe(outcome)
        return {"errorCode": int(status), "errorMsg": message}
    return {"errorCode": 0, "errorMsg": "Success", "result": _infer_result(outcome)}


def _success(result: dict[str, Any]) -> Response:
    # No model validates it; that these documents fit those of `gateway.api.schemas` is tested.
    document = {"logId": current_log_id(), "errorCode": 0, "errorMsg": "Success", "result": result}
    return Response(orjson.dumps(document), HTTPStatus.OK, _timing(), "application/json")


def _timing() -> dict[str, str]:
    """`Server-Timing`: the milliseconds of each stage, and of all since the request came."""
    scope = current_request()
    if scope is None:
        return {}
    measured = [(name, scope.seconds[name]) for name in get_args(Stage) if name in scope.seconds]
    measured.append(("total", perf_counter() - scope.started))
    return {TIMING_HEADER: ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in measured)}

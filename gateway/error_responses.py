"""Exceptions to HTTP: status, headers and the envelope that every error has."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Response

from gateway.errors import (
    BodyTimeoutError,
    DetectorUnavailableError,
    GatewayTimeoutError,
    InputError,
    NotAcceptableError,
    NotReadyError,
    OverloadedError,
    TooManyBytesError,
    UnsupportedBodyError,
)
from gateway.observability.request_context import current_log_id
from sod.errors import SodError

_log = logging.getLogger(__name__)

_STATUSES: dict[type[Exception], HTTPStatus] = {
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    SodError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyBytesError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NotAcceptableError: HTTPStatus.NOT_ACCEPTABLE,
    UnsupportedBodyError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    DetectorUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    BodyTimeoutError: HTTPStatus.REQUEST_TIMEOUT,
    GatewayTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
}
# Whoever detects these logs them once, or as a summary.
_LOGGED_ELSEWHERE = (NotReadyError, OverloadedError)


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The envelope of an error, with the log id of the current request."""
    body = {"logId": current_log_id(), "errorCode": int(status), "errorMsg": message}
    return Response(json.dumps(body), status, dict(headers or {}), "application/json")


def response_to(error: Exception) -> Response:
    """The response to an exception, without logging it."""
    return error_response(*status_and_message(error), _headers(error))


def status_and_message(error: Exception) -> tuple[HTTPStatus, str]:
    """Status and text to respond with; the details of an unexpected exception are withheld."""
    for kind in type(error).__mro__:
        if kind in _STATUSES:
            return _STATUSES[kind], str(error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error"


def log_server_error(error: Exception) -> None:
    """Log what the client is not told: the details of an unexpected exception, and Triton's own message."""
    status, _ = status_and_message(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("unhandled exception", exc_info=error)
    elif status > HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, _LOGGED_ELSEWHERE):
        _log.warning("%d: %s (%s)", status, error, error.__cause__)


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, OverloadedError):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, DetectorUnavailableError):
        return {"Retry-After": "1"}
    # The rest of a late body may still arrive on this connection.
    return {"Connection": "close"} if isinstance(error, BodyTimeoutError) else {}

"""One base for everything the gateway refuses, one envelope for every error it answers."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import ClassVar, TypedDict
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.limits.content_length import parse_content_length
from gateway.observability.request_context import current_request, response_started
from sod.errors import SodError

_log = logging.getLogger(__name__)

# A 404 or 405 has not read its body; this much of one is read for the sake of its logId.
_PEEK_BYTES = 1024 * 1024
_SHOWN = 100


class GatewayError(Exception):
    """Base of the errors whose text may be shown to the client."""

    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: Mapping[str, str] = MappingProxyType({})
    # Whether a server error is worth a line in the log each time.
    logged: ClassVar[bool] = True


class InputError(GatewayError):
    """The request is well-formed, but what it asks for cannot be done; the text says why."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class ValidationIssue(TypedDict):
    """One entry of a validation error, in PaddleX's form."""

    type: str
    loc: str
    msg: str


class InvalidRequestError(InputError):
    """The request does not fit its schema; the text is a JSON list of issues, as PaddleX answers."""

    def __init__(self, issues: Sequence[ValidationIssue]) -> None:
        super().__init__(json.dumps(list(issues)))
        self.issues = tuple(issues)


class UnknownModelError(InvalidRequestError):
    """The request asks for a model that is not loaded; the text names those that are."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
        loaded = f"loaded are {', '.join(known)}" if known else "none is loaded"
        message = f"there is no model {shown!a}; {loaded}"
        super().__init__([{"type": "model_unknown", "loc": "body.model", "msg": message}])


class TooManyBytesError(GatewayError):
    """The body or the image is longer than its limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class NotAcceptableError(GatewayError):
    """The client wants an image for an answer, and none that can be had."""

    status = HTTPStatus.NOT_ACCEPTABLE


class UnsupportedBodyError(GatewayError):
    """The body is compressed, or of a kind that this path does not read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class DetectorUnavailableError(GatewayError):
    """The inference server cannot answer now; the same request may succeed later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = MappingProxyType({"Retry-After": "1"})


class NotReadyError(DetectorUnavailableError):
    """A readiness check's no; who finds it out logs it, once, and not every probe that hears of it."""

    logged = False


class OverloadedError(GatewayError):
    """There is no room for the request now; the load shedder counts and logs these, many at a time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    logged = False

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(retry_after_s)}


class BodyTimeoutError(GatewayError):
    """The body did not come in time; the connection is closed, since the rest of it may still come."""

    status = HTTPStatus.REQUEST_TIMEOUT
    headers = MappingProxyType({"Connection": "close"})


class GatewayTimeoutError(GatewayError):
    """The answer was not ready in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT


def usable_log_id(value: object) -> str | None:
    """The log id a client sent, if it is one: a string that is not empty, as PaddleX has it."""
    if not isinstance(value, str) or not value:
        return None
    # JSON can spell lone surrogates, UTF-8 cannot.
    return value.encode("utf-8", "replace").decode("utf-8")


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The envelope of an error, with the log id of the current request."""
    body = {"logId": current_log_id(), "errorCode": int(status), "errorMsg": message}
    return Response(json.dumps(body), status, dict(headers or {}), "application/json")


def current_log_id() -> str:
    """The current request's log id."""
    scope = current_request()
    return str(uuid4()) if scope is None else scope.log_id


def install_handlers(app: FastAPI) -> None:
    """Answer every foreseen exception of `app` with the envelope; `CatchAll` does the unforeseen."""
    app.add_exception_handler(GatewayError, _on_foreseen)
    app.add_exception_handler(SodError, _on_foreseen)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


class CatchAll:
    """ASGI middleware: an unforeseen exception is logged here and answered without its details."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        try:
            await self._app(scope, receive, send)
        except Exception:
            if scope["type"] != "http":
                raise
            _log.exception("unhandled exception in %s %s", scope["method"], scope["path"])
            if response_started():
                raise
            response = error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error")
            await response(scope, receive, send)


def describe(error: Exception) -> tuple[int, str]:
    """Status and text that an exception is answered with; what the text does not say is logged here."""
    if isinstance(error, SodError):
        return HTTPStatus.UNPROCESSABLE_ENTITY, str(error)
    if not isinstance(error, GatewayError):
        _log.error("unhandled exception", exc_info=error)
        return HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error"
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.logged:
        # The cause carries Triton's own words, which the client does not get.
        _log.warning("%d: %s (%s)", error.status, error, error.__cause__)
    return error.status, str(error)


async def _on_foreseen(_: Request, error: Exception) -> Response:
    return error_response(*describe(error), error.headers if isinstance(error, GatewayError) else None)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for no other
    await _peek_log_id(request)
    return error_response(error.status_code, error.detail, error.headers)


async def _on_disconnect(_: Request, __: Exception) -> Response:
    # Nobody reads this; without it the client's leaving would be logged as our failure.
    return error_response(HTTPStatus.BAD_REQUEST, "The client left before its body was read")


async def _peek_log_id(request: Request) -> None:
    length = parse_content_length(request.headers.get("content-length"))
    if length is None or length > _PEEK_BYTES:
        return
    try:
        document = from_json(await request.body())
    except (ValueError, ClientDisconnect, GatewayError):
        return
    note_log_id(document)


def note_log_id(document: object) -> None:
    """Take the log id that the client sent in its body, so that every later answer and log line carries it."""
    scope = current_request()
    if scope is not None and isinstance(document, dict):
        scope.log_id = usable_log_id(document.get("logId")) or scope.log_id

"""One base for everything the gateway refuses, one envelope for every error it answers."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar, TypedDict
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sod.errors import SodError

_log = logging.getLogger(__name__)

# A 404 or 405 has not read its body; this much of one is read for the sake of its logId.
_PEEK_BYTES = 1024 * 1024
_SHOWN = 100


class GatewayError(Exception):
    """Base of the errors whose text may be shown to the client."""

    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: ClassVar[Mapping[str, str]] = {}


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
    """The body or the picture is longer than its limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedEncodingError(GatewayError):
    """The body is compressed."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class DetectorUnavailableError(GatewayError):
    """The inference server cannot answer now; the same request may succeed later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class NotReadyError(DetectorUnavailableError):
    """A readiness check's no; who finds it out logs it, once, and not every probe that hears of it."""


def usable_log_id(value: object) -> str | None:
    """The log id a client sent, if it is one: a string that is not empty, as PaddleX has it."""
    if not isinstance(value, str) or not value:
        return None
    # JSON can spell lone surrogates, UTF-8 cannot.
    return value.encode("utf-8", "replace").decode("utf-8")


def shown_log_id(log_id: str) -> str:
    """A log id for a log line: bounded, and with its control characters escaped."""
    return ascii(log_id[:_SHOWN])[1:-1]


def error_response(log_id: str | None, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The envelope of an error; without a log id it gets a fresh one."""
    body = {"logId": log_id or str(uuid4()), "errorCode": int(status), "errorMsg": message}
    return Response(json.dumps(body), status, dict(headers or {}), "application/json")


def install_handlers(app: FastAPI) -> None:
    """Answer every foreseen exception of `app` with the envelope; `CatchAll` does the unforeseen."""
    app.add_exception_handler(GatewayError, _on_gateway_error)
    app.add_exception_handler(SodError, _on_sod_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


class CatchAll:
    """Outermost ASGI middleware: an unforeseen exception is logged here and answered without its details."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            log_id = scope.get("state", {}).get("log_id") or str(uuid4())
            _log.exception(
                "unhandled exception in %s %s (logId %s)",
                scope["method"],
                ascii(scope["path"])[1:-1],
                shown_log_id(log_id),
            )
            if started:
                raise
            response = error_response(log_id, HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error")
            await response(scope, receive, send)


async def _on_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 - it is registered for no other
    log_id = _known_log_id(request) or str(uuid4())
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, NotReadyError):
        # The cause carries Triton's own words, which the client does not get.
        _log.warning("%d: %s (logId %s; %s)", error.status, error, shown_log_id(log_id), error.__cause__)
    return error_response(log_id, error.status, str(error), error.headers)


async def _on_sod_error(request: Request, error: Exception) -> Response:
    return error_response(_known_log_id(request), HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for no other
    log_id = _known_log_id(request) or await _peek_log_id(request)
    return error_response(log_id, error.status_code, error.detail, error.headers)


async def _on_disconnect(request: Request, _: Exception) -> Response:
    # Nobody reads this; without it the client's leaving would be logged as our failure.
    return error_response(_known_log_id(request), HTTPStatus.BAD_REQUEST, "The client left before its body was read")


def _known_log_id(request: Request) -> str | None:
    return usable_log_id(getattr(request.state, "log_id", None))


async def _peek_log_id(request: Request) -> str | None:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or len(length) > len(str(_PEEK_BYTES)) or int(length) > _PEEK_BYTES:
        return None
    try:
        document = from_json(await request.body())
    except (ValueError, ClientDisconnect, GatewayError):
        return None
    return usable_log_id(document.get("logId")) if isinstance(document, dict) else None

"""The application's exception handlers, and the middleware for exceptions that none of them handles."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.request_body import options_location
from gateway.api.validation import InvalidRequestError
from gateway.error_responses import error_response, log_server_error, response_to
from gateway.errors import FieldError, GatewayError
from gateway.limits.content_length import parse_content_length
from gateway.observability.request_context import adopt_log_id, response_started
from sod.errors import SodError

_log = logging.getLogger(__name__)

# 404 and 405 are decided without the body; a body of at most this size is read for its logId.
_MAX_PEEK_BYTES = 1024 * 1024


def install_handlers(app: FastAPI) -> None:
    """Respond to every expected exception of `app` with the envelope; `CatchAll` handles the others."""
    app.add_exception_handler(FieldError, _on_field_error)
    app.add_exception_handler(GatewayError, _on_error)
    app.add_exception_handler(SodError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


class CatchAll:
    """ASGI middleware around the application: log an unexpected exception and respond without its details."""

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


async def _on_field_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FieldError)  # noqa: S101 - registered for no other
    return response_to(InvalidRequestError.from_field(error, options_location(request)))


async def _on_error(_: Request, error: Exception) -> Response:
    log_server_error(error)
    return response_to(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for no other
    await _adopt_log_id_of_body(request)
    return error_response(error.status_code, error.detail, error.headers)


async def _on_disconnect(_: Request, __: Exception) -> Response:
    # Nobody receives this; without it the disconnect would be logged as an unexpected exception.
    return error_response(HTTPStatus.BAD_REQUEST, "The client left before its body was read")


async def _adopt_log_id_of_body(request: Request) -> None:
    length = parse_content_length(request.headers.get("content-length"))
    if length is None or length > _MAX_PEEK_BYTES:
        return
    try:
        adopt_log_id(from_json(await request.body()))
    except (ValueError, ClientDisconnect, GatewayError):
        return

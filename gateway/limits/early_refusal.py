"""Refuse detection requests of a busy server by their headers, before a task and the application are started.

The application takes about four times as long for a refusal, and many clients that ask again and again would take the
processor from the requests that were accepted. What only the application can decide is left to it (`RequestLimits`).
"""

from collections.abc import Callable, Collection
from time import perf_counter

from fastapi import Response
from starlette.types import Scope

from gateway.error_responses import response_to
from gateway.errors import OverloadedError
from gateway.limits.content_length import parse_content_length
from gateway.limits.load_shedder import REQUEST_BYTES, LoadShedder
from gateway.observability import metrics
from gateway.security.security_headers import api_headers


class EarlyRefusal:
    """Refuses POSTs to `paths` that the load shedder has no capacity for, whether or not they have an API key."""

    def __init__(
        self, shedder: LoadShedder, *, paths: Collection[str], max_body_bytes: int, draining: Callable[[], bool]
    ) -> None:
        self._shedder = shedder
        self._paths = frozenset(paths)
        self._max_body_bytes = min(max_body_bytes, shedder.max_bytes - REQUEST_BYTES)
        self._draining = draining

    def __call__(self, scope: Scope) -> Response | None:
        """The response to a request that is refused; None for the application.

        The application responds if the body is too large for any server (413), to browsers of other origins (with
        CORS headers), and while draining (the connection is closed).
        """
        started = perf_counter()
        if scope["method"] != "POST" or scope["path"] not in self._paths or self._draining():
            return None
        headers = dict(scope["headers"])
        declared = parse_content_length(headers.get(b"content-length")) or 0
        if declared > self._max_body_bytes or b"origin" in headers:
            return None
        try:
            self._shedder.acquire(declared).release()
        except OverloadedError as error:
            response = response_to(error)
        else:
            return None
        response.raw_headers += api_headers(scope["scheme"])
        metrics.record_request(scope["path"], "POST", response.status_code, perf_counter() - started, {})
        return response

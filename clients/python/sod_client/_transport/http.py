"""The way to a gateway, or to PaddleX's own server: JSON over HTTP, images in base64."""

import binascii
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from sod_client._inputs.items import Item, URLItem
from sod_client._inputs.sources import is_url
from sod_client._transport.interface import Question
from sod_client._transport.reply import error_of, parse_models, parse_reply
from sod_client._transport.retry import Retry, TryAgainError, seconds_of
from sod_client.errors import BadReplyError, ConnectionFailedError, InvalidConfigError
from sod_client.result import Model, Result

_CONNECT_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_JSON = {"Content-Type": "application/json"}


class HttpTransport:
    """Connections to one server, kept open between requests.

    Args:
        url: of the server.
        timeout: seconds to wait for an answer, and 5 at most for a connection.
        retries: tries after the first one, on 429, 503 and connections refused or broken off.
        connections: at most.
        api_key: sent as a bearer token; None sends none.
    """

    fetches = True

    def __init__(self, url: str, *, timeout: float, retries: int, connections: int, api_key: str | None) -> None:
        self.url = checked_url(url)
        self._retry = Retry(retries)
        self._lock = threading.Lock()
        self._gate = threading.Semaphore(connections)
        self._under_way = 0
        self._closed = False
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            # A proxy of the environment cannot reach this machine's own addresses.
            trust_env=httpx.URL(self.url).host not in _LOOPBACK,
        )

    def detect(self, item: Item, question: Question) -> Result:
        """The objects of one image."""
        body = _body(item, question)
        response = self._request("POST", "/small-object-detection", body)
        return parse_reply(response, item)

    def models(self) -> list[Model]:
        """The models that are ready."""
        return parse_models(self._request("GET", "/models"))

    def close(self) -> None:
        """Close the connections; those with a request under way when it is answered."""
        self._retry.close()
        with self._lock:
            self._closed = True
            if self._under_way:
                return
        self._client.close()

    @contextmanager
    def _request_under_way(self) -> Iterator[None]:
        # A client that is closed while threads use it leaves their sockets open.
        with self._lock:
            if self._is_closed():
                raise ConnectionFailedError("the pipeline was closed")
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                was_last = self._is_closed() and not self._under_way
            if was_last:
                self._client.close()

    def _is_closed(self) -> bool:
        return self._closed

    def _request(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        request = self._client.build_request(method, self.url + path, content=body, headers=_JSON if body else None)
        return self._retry.run(lambda: self._try(request))

    def _try(self, request: httpx.Request) -> httpx.Response:
        try:
            with self._gate, self._request_under_way():
                response = self._client.send(request)
        except httpx.TimeoutException as error:
            failure = ConnectionFailedError(f"{self.url} gave no answer in time ({type(error).__name__})")
            failure.__cause__ = error
            if isinstance(error, httpx.ConnectTimeout):
                raise TryAgainError(failure) from None
            raise failure from error
        except httpx.TransportError as error:
            failure = ConnectionFailedError(f"cannot reach {self.url}: {error or type(error).__name__}")
            failure.__cause__ = error
            raise TryAgainError(failure) from None
        except httpx.RequestError as error:
            raise BadReplyError(f"{self.url} sent a reply that cannot be read: {error}") from error
        if response.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
            raise TryAgainError(error_of(response), seconds_of(response.headers.get("Retry-After")))
        return response


def checked_url(url: str) -> str:
    """A server's URL, without a slash at its end.

    Raises:
        InvalidConfigError: it is none.
    """
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError, TypeError) as error:
        raise InvalidConfigError(f"{url!r} is no URL: {error}") from error
    if not is_url(url) or not host:
        raise InvalidConfigError(f"{url!r} is no server's URL; it should look like http://127.0.0.1:8080")
    return url.rstrip("/")


def _body(item: Item, question: Question) -> bytes:
    """The JSON of a request, put together by hand: base64 needs no escaping, and is long."""
    if isinstance(item, URLItem):
        image = json.dumps(item.url).encode()
    else:
        image = b'"' + binascii.b2a_base64(item.encoded(), newline=False) + b'"'
    fields: dict[str, Any] = {"threshold": question.threshold, "visualize": question.visualize}
    if question.model is not None:  # PaddleX's server has no such field
        fields["model"] = question.model
    return b'{"image": ' + image + b", " + json.dumps(fields).encode()[1:]

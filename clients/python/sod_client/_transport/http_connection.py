"""Connections over HTTP, which are kept open between requests; with retries."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from sod_client._inputs.sources import is_url
from sod_client._transport.response import parse_error
from sod_client._transport.retry import RetryableError, RetryPolicy, parse_retry_after
from sod_client._transport.tls import certificate_error, is_certificate_error
from sod_client.errors import BadReplyError, ConnectionFailedError, InvalidConfigError

_CONNECT_TIMEOUT_S = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class HttpConnection:
    """Connections to one server.

    Args:
        url: address of the server, which may have a path.
        timeout: seconds to wait for a response, and at most 5 of them for a connection.
        retries: the most attempts after the first one, on 429, 503 and connections that are refused or interrupted.
        max_connections: the most connections, and requests, at once.
        api_key: sent as a bearer token; None sends none.
        verify: how the server's certificate is verified; see `tls.Verification.for_http`.
        name: what error messages call the server; None is `url`. Slashes at its end are removed.

    Raises:
        InvalidConfigError: `url` is not an http(s) URL.
    """

    def __init__(  # noqa: PLR0913 - the user's settings, by name
        self,
        url: str,
        *,
        timeout: float,
        retries: int,
        max_connections: int,
        api_key: str | None,
        verify: ssl.SSLContext | bool = True,
        name: str | None = None,
    ) -> None:
        self._url = check_url(url, name or url)
        self.name = (name or url).rstrip("/")
        self._retry = RetryPolicy(retries)
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(max_connections)
        self._active_requests = 0
        self._closed = False
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT_S)),
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            # Ignore the environment's proxy for loopback addresses, which it cannot reach.
            trust_env=httpx.URL(url).host not in _LOOPBACK,
            verify=verify,
        )

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a request, with retries; the response may report an error other than 429 and 503.

        Raises:
            ConnectionFailedError: the server did not respond, or the connections are closed.
            ServerError: 429 or 503 at every attempt.
            BadReplyError: the response cannot be read.
        """
        request = self._client.build_request(method, self._url + path, content=body, headers=headers)
        return self._retry.run(lambda: self._send(request))

    def close(self) -> None:
        """Close the connections; if requests are active, after the last of them."""
        self._retry.close()
        with self._lock:
            self._closed = True
            if self._active_requests:
                return
        self._client.close()

    @contextmanager
    def _active_request(self) -> Iterator[None]:
        # An httpx client that is closed while threads use it leaves their sockets open.
        with self._lock:
            if self._is_closed():
                raise ConnectionFailedError("the pipeline was closed")
            self._active_requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._active_requests -= 1
                was_last = self._is_closed() and not self._active_requests
            if was_last:
                self._client.close()

    def _is_closed(self) -> bool:
        return self._closed

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            with self._slots, self._active_request():
                response = self._client.send(request)
        except httpx.TimeoutException as error:
            failure = ConnectionFailedError(f"{self.name} did not respond in time ({type(error).__name__})")
            failure.__cause__ = error
            if isinstance(error, httpx.ConnectTimeout):
                raise RetryableError(failure) from None
            raise failure from error
        except httpx.TransportError as error:
            if is_certificate_error(str(error)):
                raise certificate_error(self.name, str(error)) from error
            failure = ConnectionFailedError(f"cannot reach {self.name}: {error or type(error).__name__}")
            failure.__cause__ = error
            raise RetryableError(failure) from None
        except httpx.RequestError as error:
            raise BadReplyError(f"{self.name} sent a response that cannot be read: {error}") from error
        if response.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
            raise RetryableError(parse_error(response), parse_retry_after(response.headers.get("Retry-After")))
        return response


def check_url(url: str, name: str) -> str:
    """The URL of a server, without slashes at its end.

    Args:
        url: the URL.
        name: what error messages call it.

    Raises:
        InvalidConfigError: it is not an http(s) URL.
    """
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError, TypeError) as error:
        raise InvalidConfigError(f"{name!r} is not a URL: {error}") from error
    if not is_url(url) or not host:
        raise InvalidConfigError(
            f"{name!r} is not the URL of a server; it should look like http://127.0.0.1:8080, or for Triton itself "
            "grpc://127.0.0.1:8001 or triton+http://127.0.0.1:8000"
        )
    return url.rstrip("/")

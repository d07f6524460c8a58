"""The transport to a gateway, or to PaddleX's own server: JSON over HTTP, with images in base64."""

import binascii
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from sod_client._inputs.items import Item, URLItem
from sod_client._inputs.sources import is_url
from sod_client._results.data import Model
from sod_client._transport.response import parse_error, parse_models, parse_result
from sod_client._transport.retry import RetryableError, RetryPolicy, parse_retry_after
from sod_client._transport.transport import RequestOptions
from sod_client.errors import BadReplyError, ConnectionFailedError, InvalidConfigError
from sod_client.result import Result

_CONNECT_TIMEOUT_S = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
_JSON = {"Content-Type": "application/json"}


class HttpTransport:
    """Connections to one server, which are kept open between requests.

    Args:
        url: address of the server.
        timeout: seconds to wait for a response, and at most 5 of them for a connection.
        retries: the most attempts after the first one, on 429, 503 and connections that are refused or interrupted.
        max_connections: the most connections, and requests, at once.
        api_key: sent as a bearer token; None sends none.
        verify: how the server's certificate is verified; see `tls.server_verification`.
    """

    fetches_urls = True

    def __init__(  # noqa: PLR0913 - the user's settings, by name
        self,
        url: str,
        *,
        timeout: float,
        retries: int,
        max_connections: int,
        api_key: str | None,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self.url = check_url(url)
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
            trust_env=httpx.URL(self.url).host not in _LOOPBACK,
            verify=verify,
        )

    def detect(self, item: Item, options: RequestOptions) -> Result:
        """Detect the objects of one image."""
        response = self._request("POST", "/small-object-detection", _encode_body(item, options))
        return parse_result(response, item)

    def models(self) -> list[Model]:
        """The models that the server has ready."""
        return parse_models(self._request("GET", "/models"))

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

    def _request(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        request = self._client.build_request(method, self.url + path, content=body, headers=_JSON if body else None)
        return self._retry.run(lambda: self._send(request))

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            with self._slots, self._active_request():
                response = self._client.send(request)
        except httpx.TimeoutException as error:
            failure = ConnectionFailedError(f"{self.url} did not respond in time ({type(error).__name__})")
            failure.__cause__ = error
            if isinstance(error, httpx.ConnectTimeout):
                raise RetryableError(failure) from None
            raise failure from error
        except httpx.TransportError as error:
            if _CERTIFICATE in str(error):
                raise ConnectionFailedError(
                    f"{self.url}: the server's certificate cannot be verified ({error}): name the file of its "
                    "authority with --ca, ca_file= or SOD_CA_FILE, or skip the check with --insecure or insecure=True"
                ) from error
            failure = ConnectionFailedError(f"cannot reach {self.url}: {error or type(error).__name__}")
            failure.__cause__ = error
            raise RetryableError(failure) from None
        except httpx.RequestError as error:
            raise BadReplyError(f"{self.url} sent a response that cannot be read: {error}") from error
        if response.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
            raise RetryableError(parse_error(response), parse_retry_after(response.headers.get("Retry-After")))
        return response


def check_url(url: str) -> str:
    """The URL of a server, without slashes at its end.

    Raises:
        InvalidConfigError: it is not an http(s) URL.
    """
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError, TypeError) as error:
        raise InvalidConfigError(f"{url!r} is not a URL: {error}") from error
    if not is_url(url) or not host:
        raise InvalidConfigError(f"{url!r} is not the URL of a server; it should look like http://127.0.0.1:8080")
    return url.rstrip("/")


def _encode_body(item: Item, options: RequestOptions) -> bytes:
    """The JSON body. The image is inserted as bytes: base64 needs no escaping, and json.dumps would copy it twice."""
    if isinstance(item, URLItem):
        image = json.dumps(item.url).encode()
    else:
        image = b'"' + binascii.b2a_base64(item.encoded(), newline=False) + b'"'
    fields: dict[str, Any] = {"threshold": options.threshold, "visualize": options.visualize}
    if options.model is not None:  # left out otherwise, because PaddleX's server has no such field
        fields["model"] = options.model
    if options.slices is not None:
        fields["slice"] = options.slices
    if options.classes is not None:
        fields["classes"] = options.classes
    if options.iou is not None:
        fields["iouThreshold"] = options.iou
    if options.agnostic_nms:
        fields["classAgnosticNms"] = True
    return b'{"image": ' + image + b", " + json.dumps(fields).encode()[1:]

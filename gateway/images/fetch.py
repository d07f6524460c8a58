"""Fetch images from http(s) URLs of public hosts, with limits on bytes, time and redirects.

This module checks the URL and the response. `egress_guard` checks the address of every connection, redirects included.
"""

import asyncio
import functools
import ssl
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from types import TracebackType

import httpcore
import httpx

from gateway.errors import InputError, TooManyBytesError
from gateway.images.addresses import AllowList, parse_host
from gateway.images.bounded_head import BoundedHeadNetwork, BoundedHeadStream
from gateway.images.egress_guard import EgressGuard
from gateway.images.resolver import Resolver, SystemResolver
from gateway.limits.content_length import parse_content_length
from gateway.limits.load_shedder import charge
from gateway.observability.request_context import stage
from sod.image import FORMATS, may_be_image

# Images are compressed already. Some hosts send gzip all the same; it is decompressed within the limit of the image.
_HEADERS = (
    (b"User-Agent", b"triton-sod"),
    (b"Accept", b"image/*, */*;q=0.5"),
    (b"Accept-Encoding", b"identity"),
)
_REDIRECTS = (301, 302, 303, 307, 308)
_HTML_TYPES = ("text/html", "application/xhtml+xml")
_MAX_URL_LENGTH = 8192
_MAX_PORT = 65535
_SIGNATURE_BYTES = 16  # enough to tell an image from other data
_UNZIPPED_BYTES = 64 * 1024  # decompressed at a time, between which other requests are processed


@functools.cache
def _public_authorities() -> ssl.SSLContext:
    """Once in a process: to read them takes 40 ms of processor time."""
    return httpcore.default_ssl_context()


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Limits of fetching.

    Attributes:
        enabled: Whether URLs are fetched at all.
        allow: Hosts that may be contacted although their addresses are not public.
        max_bytes: Largest image in bytes.
        max_redirects: Redirects to follow.
        max_connections: Fetches at a time; further ones wait.
        connect_timeout: Seconds for the DNS lookup and the connection.
        read_timeout: Seconds without data from the host.
        total_timeout: Seconds for the whole fetch, redirects included.
    """

    enabled: bool
    allow: AllowList
    max_bytes: int
    max_redirects: int
    max_connections: int
    connect_timeout: float
    read_timeout: float
    total_timeout: float


class ImageFetcher:
    """Fetches images for requests that contain a URL; an async context manager."""

    def __init__(
        self,
        options: FetchOptions,
        *,
        resolve: Resolver | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare the connection pool; nothing is connected yet.

        Args:
            options: Limits of fetching.
            resolve: Resolves host names; None uses the system's resolver.
            network: Opens connections to checked addresses; None uses real sockets.
            ssl_context: Trusted certificate authorities; None trusts those of the system and certifi.
        """
        self._options = options
        self._extensions = {
            "timeout": {
                "connect": options.connect_timeout,
                "read": options.read_timeout,
                "write": options.read_timeout,
                "pool": options.total_timeout,
            }
        }
        # Fetches share no state: no cookies, no kept connections, no proxy from the environment.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or _public_authorities(),
            max_connections=options.max_connections,
            max_keepalive_connections=0,
            network_backend=BoundedHeadNetwork(
                EgressGuard(
                    options.allow,
                    resolve or SystemResolver(options.max_connections),
                    network or httpcore.AnyIOBackend(),
                )
            ),
        )

    async def __aenter__(self) -> "ImageFetcher":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def fetch(self, url: str) -> bytes:
        """The bytes behind a URL; they begin with the signature of an image format.

        Raises:
            InputError: The URL must not or cannot be fetched; the text says why.
            TooManyBytesError: The image is larger than the limit.
        """
        if not self._options.enabled:
            raise InputError("This server fetches no images from URLs: send the image itself")
        if len(url) > _MAX_URL_LENGTH:
            raise InputError(f"The image URL has {len(url):,} characters; the limit is {_MAX_URL_LENGTH:,}")
        with stage("fetch"):
            return await self._fetch(url)

    async def _fetch(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(self._options.total_timeout):
                return await self._follow(_checked(url))
        except TimeoutError:
            raise InputError(f"The image URL was not fetched within {self._options.total_timeout:g} s") from None
        except httpcore.TimeoutException as error:
            what = "could not be connected to" if isinstance(error, httpcore.ConnectTimeout) else "stopped answering"
            raise InputError(f"The image URL's host {what} in time") from error
        except httpcore.ConnectError as error:
            if isinstance(error.__context__, ssl.SSLCertVerificationError):
                raise InputError("The image URL's host has no certificate for its name that is trusted here") from error
            raise InputError("The image URL's host cannot be connected to") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise InputError("The image URL cannot be fetched: its host's answer broke off or is not HTTP") from error
        except (httpx.InvalidURL, ValueError) as error:  # `parse_host` raises ValueError
            raise InputError(f"The image URL is not valid: {_shortened(str(error))}") from error

    async def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(self._options.max_redirects + 1):
            target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
            # httpcore would omit the brackets of an IPv6 address.
            headers = [(b"Host", url.netloc), *_HEADERS]
            async with self._pool.stream("GET", target, headers=headers, extensions=self._extensions) as response:
                stream = response.extensions["network_stream"]
                assert isinstance(stream, BoundedHeadStream)  # noqa: S101 - the pool's only kind
                stream.head_received()
                received = httpx.Headers(response.headers)
                if response.status not in _REDIRECTS or "location" not in received:
                    return await self._read(response, received)
            url = _checked(url.join(received["location"]), url)
        raise InputError(f"The image URL redirects more than {self._options.max_redirects} times")

    async def _read(self, response: httpcore.Response, headers: httpx.Headers) -> bytes:
        if not httpx.codes.is_success(response.status) or response.status == httpx.codes.PARTIAL_CONTENT:
            raise InputError(f"The image URL's host answered with status {response.status}")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            shown = _shortened(encoding)
            raise InputError(
                f"The image URL's host sends the image with Content-Encoding {shown!a}; only gzip is accepted"
            )
        # The first bytes decide, because some hosts call every file a page.
        is_called_page = headers.get("content-type", "").partition(";")[0].strip().lower() in _HTML_TYPES
        page = InputError("The image URL leads to a page (HTML), not to an image")
        too_many = TooManyBytesError(f"The image behind the image URL is larger than {self._options.max_bytes:,} bytes")
        if (parse_content_length(headers.get("content-length")) or 0) > self._options.max_bytes:
            raise page if is_called_page else too_many
        received = bytearray()
        chunks = response.aiter_stream()
        async for chunk in _unzipped(chunks) if encoding.endswith("gzip") else chunks:
            charge(len(chunk))
            received += chunk
            if len(received) >= _SIGNATURE_BYTES and not may_be_image(received):
                if is_called_page:
                    raise page
                wanted = ", ".join(FORMATS)
                raise InputError(f"What the image URL leads to is not an image: it begins as none of {wanted} does")
            if len(received) > self._options.max_bytes:
                raise too_many
        return bytes(received)


async def _unzipped(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Decompress gzip in pieces of a bounded size, so that the caller can stop at its limit.

    Raises:
        InputError: The data is not gzip, or ends too early.
    """
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        async for chunk in chunks:
            rest = chunk
            while rest:
                yield unzip.decompress(rest, _UNZIPPED_BYTES)
                await asyncio.sleep(0)
                rest = unzip.unconsumed_tail
        yield unzip.flush()
    except zlib.error:
        raise InputError("What the image URL's host sends as gzip is not gzip") from None
    if not unzip.eof:
        raise InputError("The image URL's host sends gzip that ends too early")


def _checked(url: str | httpx.URL, redirected_from: httpx.URL | None = None) -> httpx.URL:
    """Check a URL's scheme, host and port, and return it with its host normalised.

    Args:
        url: The URL of the request, or the target of a redirect.
        redirected_from: The URL that redirected to it.

    Raises:
        InputError: It must not be fetched.
        httpx.InvalidURL: It cannot be parsed.
        ValueError: Its host is invalid.
    """
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https"):
        shown = parsed.scheme[:20]
        raise InputError(f"The image URL leads to the scheme {shown!r}; only http and https are fetched")
    if redirected_from is not None and redirected_from.scheme == "https" and parsed.scheme == "http":
        raise InputError("The image URL leads from https to http, where anyone on the way could exchange the image")
    if parsed.userinfo:
        raise InputError("The image URL holds a user name or password; URLs are fetched without")
    if not parsed.raw_host:
        raise InputError("The image URL names no host")
    if parsed.port is not None and not 0 < parsed.port <= _MAX_PORT:
        raise InputError(f"The image URL names the port {_shortened(str(parsed.port))}; ports are 1 to {_MAX_PORT}")
    return parsed.copy_with(host=str(parse_host(parsed.raw_host.decode("ascii"))))


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"

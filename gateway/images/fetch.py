"""Images from http(s) URLs: from public hosts, bounded in bytes, time and redirects.

Where a connection may lead is `egress_guard`'s; every hop passes through it. Here is what the URL may look like and
what may come back.
"""

import asyncio
import ssl
from types import TracebackType

import httpcore
import httpx

from gateway.errors import InputError, TooManyBytesError
from gateway.images.addresses import AllowList, parse_host
from gateway.images.egress_guard import EgressGuard
from gateway.images.resolver import Resolver, SystemResolver
from gateway.limits.content_length import parse_content_length
from gateway.limits.load_shedder import charge
from gateway.observability.request_context import stage
from gateway.settings import Settings
from sod.image import FORMATS, may_be_image

# Images are compressed already; a server that compresses anyway could send a bomb.
_HEADERS = (
    (b"User-Agent", b"triton-sod"),
    (b"Accept", b"image/*, */*;q=0.5"),
    (b"Accept-Encoding", b"identity"),
)
_REDIRECTS = (301, 302, 303, 307, 308)
_PAGES = ("text/html", "application/xhtml+xml")
_MAX_URL = 8192
_LAST_PORT = 65535
_HEAD = 16  # bytes by which an image is told from what is none


class ImageFetcher:
    """Fetches images for requests that name a URL; an async context manager."""

    def __init__(
        self,
        settings: Settings,
        *,
        resolve: Resolver | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            settings: Those that begin with `fetch_`, and `max_image_bytes`.
            resolve: How names become addresses; None asks the system.
            network: How checked addresses are connected to.
            ssl_context: Whom to trust; None trusts whom the system and certifi do.
        """
        self._enabled = settings.fetch_enabled
        self._max_bytes = settings.max_image_bytes
        self._max_redirects = settings.fetch_max_redirects
        self._total_timeout = settings.fetch_total_timeout
        self._extensions = {
            "timeout": {
                "connect": settings.fetch_connect_timeout,
                "read": settings.fetch_read_timeout,
                "write": settings.fetch_read_timeout,
                "pool": settings.fetch_total_timeout,
            }
        }
        # Nothing passes from one fetch to another: no cookie, no connection, no proxy of the environment.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpcore.default_ssl_context(),
            max_connections=settings.fetch_max_connections,
            max_keepalive_connections=0,
            network_backend=EgressGuard(
                AllowList.parse(settings.fetch_allow),
                resolve or SystemResolver(settings.fetch_max_connections),
                network or httpcore.AnyIOBackend(),
            ),
        )

    async def __aenter__(self) -> "ImageFetcher":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def fetch(self, url: str) -> bytes:
        """The bytes behind a URL, which begin as those of an image do.

        Raises:
            InputError: it must not or cannot be fetched; the text says why.
            TooManyBytesError: it is longer than the limit.
        """
        if not self._enabled:
            raise InputError("This server fetches no images from URLs: send the image itself")
        if len(url) > _MAX_URL:
            raise InputError(f"The image URL has {len(url):,} characters; the limit is {_MAX_URL:,}")
        with stage("fetch"):
            return await self._fetch(url)

    async def _fetch(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(self._total_timeout):
                return await self._follow(_checked(url))
        except TimeoutError:
            raise InputError(f"The image URL was not fetched within {self._total_timeout:g} s") from None
        except httpcore.TimeoutException as error:
            what = "could not be connected to" if isinstance(error, httpcore.ConnectTimeout) else "stopped answering"
            raise InputError(f"The image URL's host {what} in time") from error
        except httpcore.ConnectError as error:
            if isinstance(error.__context__, ssl.SSLCertVerificationError):
                raise InputError("The image URL's host has no certificate for its name that is trusted here") from error
            raise InputError("The image URL's host cannot be connected to") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise InputError("The image URL cannot be fetched: its host's answer broke off or is not HTTP") from error
        except (httpx.InvalidURL, ValueError) as error:  # the latter from hosts that are none
            raise InputError(f"The image URL is not valid: {_shortened(str(error))}") from error

    async def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(self._max_redirects + 1):
            target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
            # Of an IPv6 address httpcore would leave the brackets out.
            headers = [(b"Host", url.netloc), *_HEADERS]
            async with self._pool.stream("GET", target, headers=headers, extensions=self._extensions) as response:
                answered = httpx.Headers(response.headers)
                if response.status not in _REDIRECTS or "location" not in answered:
                    return await self._read(response, answered)
            url = _checked(url.join(answered["location"]), url)
        raise InputError(f"The image URL redirects more than {self._max_redirects} times")

    async def _read(self, response: httpcore.Response, headers: httpx.Headers) -> bytes:
        if response.status != httpx.codes.OK:
            raise InputError(f"The image URL's host answered with status {response.status}")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise InputError("The image URL's host sends the image compressed, which is not taken")
        if headers.get("content-type", "").partition(";")[0].strip().lower() in _PAGES:
            raise InputError("The image URL leads to a page (HTML), not to an image")
        too_many = TooManyBytesError(f"The image behind the image URL is larger than {self._max_bytes:,} bytes")
        if (parse_content_length(headers.get("content-length")) or 0) > self._max_bytes:
            raise too_many
        received = bytearray()
        looked = False
        async for chunk in response.aiter_stream():
            charge(len(chunk))
            received += chunk
            if not looked and len(received) >= _HEAD:
                looked = True
                if not may_be_image(received):
                    wanted = ", ".join(FORMATS)
                    raise InputError(f"What the image URL leads to is not an image: it begins as none of {wanted} does")
            if len(received) > self._max_bytes:
                raise too_many
        return bytes(received)


def _checked(url: str | httpx.URL, came_from: httpx.URL | None = None) -> httpx.URL:
    """The URL, its host in its plain spelling, if it is one that may be asked.

    Args:
        url: The request's, or what a redirect leads to.
        came_from: Where that redirect stood.
    """
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https"):
        shown = parsed.scheme[:20]
        raise InputError(f"The image URL leads to the scheme {shown!r}; only http and https are fetched")
    if came_from is not None and came_from.scheme == "https" and parsed.scheme == "http":
        raise InputError("The image URL leads from https to http, where anyone on the way could exchange the image")
    if parsed.userinfo:
        raise InputError("The image URL holds a user name or password; URLs are fetched without")
    if not parsed.raw_host:
        raise InputError("The image URL names no host")
    if parsed.port is not None and not 0 < parsed.port <= _LAST_PORT:
        raise InputError(f"The image URL names the port {_shortened(str(parsed.port))}; ports are 1 to {_LAST_PORT}")
    return parsed.copy_with(host=str(parse_host(parsed.raw_host.decode("ascii"))))


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"

"""Pictures from http(s) URLs: bounded in bytes, time and redirects.

Every address, the first and each redirect's, passes `_checked` before it is asked.
"""

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from gateway.errors import InputError, TooManyBytesError
from gateway.gate import charge
from gateway.settings import Settings

# Pictures are compressed already; a server that compresses anyway could send a bomb.
_HEADERS = {"User-Agent": "triton-sod", "Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity"}
_LAST_PORT = 65535


def create_client(settings: Settings) -> httpx.AsyncClient:
    """The client that all fetches share: no cookies, proxies or credentials pass from one to another."""
    return httpx.AsyncClient(
        headers=_HEADERS,
        timeout=httpx.Timeout(
            settings.fetch_read_timeout,
            connect=settings.fetch_connect_timeout,
            pool=settings.fetch_total_timeout,
        ),
        limits=httpx.Limits(max_connections=settings.fetch_max_connections, max_keepalive_connections=0),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
        follow_redirects=False,
    )


class PictureFetcher:
    """Fetches pictures for requests that name a URL."""

    def __init__(self, client: httpx.AsyncClient, settings: Settings) -> None:
        self._client = client
        self._max_bytes = settings.max_image_bytes
        self._max_redirects = settings.fetch_max_redirects
        self._total_timeout = settings.fetch_total_timeout

    async def fetch(self, url: str) -> bytes:
        """The bytes behind a URL.

        Raises:
            InputError: it cannot be fetched; the text says why.
            TooManyBytesError: it is longer than the limit.
        """
        try:
            async with asyncio.timeout(self._total_timeout):
                return await self._follow(_checked(url))
        except TimeoutError:
            raise InputError(f"The image URL was not fetched within {self._total_timeout:g} s") from None
        except httpx.TimeoutException as error:
            what = "could not be connected to" if isinstance(error, httpx.ConnectTimeout) else "stopped answering"
            raise InputError(f"The image URL's host {what} in time") from error
        except httpx.ConnectError as error:
            raise InputError("The image URL's host cannot be connected to") from error
        except (httpx.HTTPError, OSError) as error:
            raise InputError("The image URL cannot be fetched: its host's answer broke off or is not HTTP") from error
        except (httpx.InvalidURL, ValueError) as error:  # the latter from names that IDNA cannot spell
            raise InputError(f"The image URL is not valid: {error}") from error

    async def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(self._max_redirects + 1):
            async with self._client.stream("GET", url) as response:
                if not response.has_redirect_location:
                    return await self._read(response)
                url = _checked(url.join(response.headers["location"]))
        raise InputError(f"The image URL redirects more than {self._max_redirects} times")

    async def _read(self, response: httpx.Response) -> bytes:
        if response.status_code != httpx.codes.OK:
            raise InputError(f"The image URL's host answered with status {response.status_code}")
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise InputError(f"The image URL's host sends the picture compressed ({encoding!r}), which is not taken")
        too_many = TooManyBytesError(f"The picture behind the image URL is larger than {self._max_bytes:,} bytes")
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise too_many
        received = bytearray()
        async for chunk in response.aiter_raw():
            charge(len(chunk))
            received += chunk
            if len(received) > self._max_bytes:
                raise too_many
        return bytes(received)


def _checked(url: str | httpx.URL) -> httpx.URL:
    """The URL, if it is one that may be asked."""
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https"):
        raise InputError(f"The image URL leads to the scheme {parsed.scheme!r}; only http and https are fetched")
    if not parsed.host:
        raise InputError("The image URL names no host")
    if parsed.port is not None and not 0 < parsed.port <= _LAST_PORT:
        raise InputError(f"The image URL names the port {parsed.port}; ports are 1 to {_LAST_PORT}")
    return parsed

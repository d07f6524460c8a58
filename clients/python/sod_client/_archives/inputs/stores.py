"""Files of object stores and web servers, read with a bounded number of attempts."""

import functools
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from sod_client._archives import packages
from sod_client._archives.inputs.source import FetchError, Stamp
from sod_client._transport.retry import parse_retry_after
from sod_client.errors import InvalidInputError, MissingFileError, SodError

ATTEMPTS = 4
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 20.0
MAX_BYTES = 2**31
"""The most bytes of one file that is read whole."""

_URL = re.compile(r"^([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_TIMEOUT_S = 60.0
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)
_DENIED = (
    "AccessDenied",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "AllAccessDisabled",
)
_Value = TypeVar("_Value")


class _AttemptFailedError(Exception):
    """One attempt failed, and another may succeed."""

    def __init__(self, sentence: str, pause_s: float | None = None) -> None:
        super().__init__(sentence)
        self.pause_s = pause_s


def protocol_of(path: str) -> str | None:
    """The protocol of a URL in lower case; None for a local path, also as file://."""
    match = _URL.match(path)
    protocol = None if match is None else match.group(1).lower()
    return None if protocol in ("file", "local") else protocol


def local_path(path: str) -> str:
    """A local path, without file://."""
    match = _URL.match(path)
    return path if match is None else path[match.end() :]


def is_web(path: str) -> bool:
    """Whether the text is an http(s) URL."""
    return protocol_of(path) in ("http", "https")


@functools.cache
def file_system(protocol: str) -> Any:
    """The file system of a protocol, without a cache of listings, which would hold all names.

    Raises:
        InvalidInputError: fsspec knows no such protocol.
        DependencyError: a package is not installed.
    """
    fsspec = packages.store_packages(protocol)
    try:
        return fsspec.filesystem(protocol, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise InvalidInputError(f"{protocol}:// cannot be read or written: {error}") from error


def read(path: str) -> bytes:
    """The content of an object or a URL.

    Raises:
        MissingFileError: there is no such object.
        FetchError: every attempt failed, or the host refuses it.
    """
    if is_web(path):
        return attempts(lambda: _read_web(path))
    system = file_system(protocol_of(path) or "")

    def once() -> bytes:
        content: bytes = system.cat_file(path)
        size = system.info(path).get("size") if not content else len(content)
        if not content and size:
            raise _AttemptFailedError("the response is empty")
        return content

    return attempts(once)


def stamp(path: str) -> Stamp:
    """The stamp of an object or a URL; raises the errors of `read`."""
    if is_web(path):
        return attempts(lambda: _web_stamp(path))
    system = file_system(protocol_of(path) or "")
    return attempts(lambda: stamp_of(system.info(path)))


def stamp_of(info: dict[str, Any]) -> Stamp:
    """The stamp in an entry of a listing of fsspec."""
    version = (
        info.get("ETag") or info.get("etag") or info.get("md5Hash") or info.get("LastModified") or info.get("mtime")
    )
    size = info.get("size")
    return Stamp(None if size is None else int(size), None if version is None else str(version).strip('"'))


def attempts(call: Callable[[], _Value]) -> _Value:
    """Make a call until it succeeds, at most `ATTEMPTS` times.

    Raises:
        MissingFileError: there is no such file.
        FetchError: the host refuses it, or every attempt failed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        pause = None
        try:
            return call()
        except SodError:
            raise
        except FileNotFoundError as error:
            raise MissingFileError("there is no such object") from error
        except _AttemptFailedError as error:
            sentence, pause = str(error), error.pause_s
            cause: Exception = error
        except Exception as error:  # the exceptions of fsspec's file systems have no common class
            if is_refused(error):
                raise FetchError(f"the object store refuses access: {short(error)}") from error
            sentence, cause = short(error), error
        if attempt == ATTEMPTS:
            raise FetchError(f"cannot be fetched, after {ATTEMPTS} attempts: {sentence}") from cause
        time.sleep(min(max(FIRST_PAUSE_S * 2 ** (attempt - 1), pause or 0), LONGEST_PAUSE_S))
    raise AssertionError("unreachable")


def is_refused(error: Exception) -> bool:
    """Whether an object store refused the access, which another attempt would not change."""
    return isinstance(error, PermissionError) or any(name in f"{type(error).__name__} {error}" for name in _DENIED)


def short(error: Exception) -> str:
    """The error's text in one line, without its quotes; its class if it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:199]}…"


@functools.cache
def _client(_thread: int) -> httpx.Client:
    return httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True, max_redirects=5)


def _web() -> httpx.Client:
    return _client(threading.get_ident())


def _read_web(url: str) -> bytes:
    content = bytearray()
    for chunk in web_chunks(url):
        content += chunk
        if len(content) > MAX_BYTES:
            raise FetchError(f"cannot be fetched: it is larger than {MAX_BYTES:,} bytes")
    if not content:
        raise _AttemptFailedError("the response is empty")
    return bytes(content)


def web_chunks(url: str) -> Iterator[bytes]:
    """The content of a URL in parts; the errors are those of one attempt."""
    try:
        with _web().stream("GET", url) as response:
            _check(response)
            yield from response.iter_bytes()
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise FetchError(f"cannot be fetched: {short(error)}") from error
    except httpx.HTTPError as error:
        raise _AttemptFailedError(short(error)) from error


def _web_stamp(url: str) -> Stamp:
    try:
        response = _web().head(url)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise FetchError(f"cannot be fetched: {short(error)}") from error
    except httpx.HTTPError as error:
        raise _AttemptFailedError(short(error)) from error
    if response.status_code in (403, 405, 501):  # a signed link for GET only, or a host without HEAD
        return Stamp(None, None)
    _check(response)
    headers = response.headers
    size = headers.get("content-length", "")
    version = headers.get("etag") or headers.get("last-modified")
    is_encoded = "content-encoding" in headers
    return Stamp(int(size) if size.isdecimal() and not is_encoded else None, version and version.strip('"'))


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status == httpx.codes.OK:
        return
    sentence = f"the host answered {status}"
    if status in _RETRIED_STATUS:
        raise _AttemptFailedError(sentence, parse_retry_after(response.headers.get("retry-after")))
    if status == httpx.codes.NOT_FOUND:
        raise MissingFileError(f"cannot be fetched: {sentence}")
    expired = "; the link may have expired" if status in (401, 403, 410) and urlsplit(str(response.url)).query else ""
    raise FetchError(f"cannot be fetched: {sentence}{expired}")

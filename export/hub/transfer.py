"""One file over HTTP, in pieces where the line demands it: what came so far is kept, and gone on from.

Proxies and certificates are those of the environment (`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` …), as httpx reads it.

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (range requests).
"""

import itertools
import json
import logging
import os
import re
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.request import getproxies, proxy_bypass

import httpx
from tqdm import tqdm

from export.errors import DownloadError, ExportError

LOG = logging.getLogger(__name__)
MIB = 1 << 20
TEMPORARY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try.

    Attributes:
        connect_s: seconds to reach the host.
        read_s: seconds without a byte, after which a connection counts as dead.
        total_s: seconds for the whole file, and for another run that is at it to end.
        attempts: connections, before giving up; each goes on where the one before ended, if the server can do that.
        backoff_s: seconds before the second attempt; doubled before each further one.
    """

    connect_s: float = 10
    read_s: float = 30
    total_s: float = 2 * 3600
    attempts: int = 5
    backoff_s: float = 1


DEFAULT_PATIENCE = Patience()


class _TemporaryError(Exception):
    """This attempt failed, the next may not; the text completes "… cannot be downloaded: "."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a part is a part of; stored beside it.

    Attributes:
        url: without user and password.
        etag: a strong one, so that equal means the same bytes.
        size: of the whole file, bytes.
    """

    url: str
    etag: str
    size: int


class _Part:
    """A file that is not whole yet; a second one says of what, if it can be gone on with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._origin_path = path.with_name(f"{path.name}.json")

    def size(self) -> int:
        """Bytes here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self, url: str) -> _Origin | None:
        """Of what this is the beginning, if it is of `url` and not empty."""
        try:
            origin = _Origin(**json.loads(self._origin_path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return origin if origin.url == url and 0 < self.size() <= origin.size else None

    def begin(self, origin: _Origin | None) -> BinaryIO:
        """Start from nothing."""
        # In this order: an origin must never lie beside bytes of another file.
        self._origin_path.unlink(missing_ok=True)
        file = self.path.open("wb")
        if origin:
            self._origin_path.write_text(json.dumps(asdict(origin)))
        return file

    def go_on(self) -> BinaryIO:
        """Add to what is here."""
        return self.path.open("ab")

    def discard(self) -> None:
        """Leave nothing."""
        for path in (self._origin_path, self.path):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def finish(self) -> None:
        """All is here, and on the disk."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self._origin_path.unlink(missing_ok=True)


def download(
    url: httpx.URL, part: Path, *, max_bytes: int, patience: Patience = DEFAULT_PATIENCE, progress: bool = True
) -> None:
    """Fetch the file at `url` to `part`, going on from what an earlier run left there if it is still the same file.

    On success `part` is whole: as long as the server said. On a failure that may pass, what came is kept for the next
    run.

    Args:
        url: http or https; the answer of an https URL must not come over http.
        part: the file; `<part>.json` beside it remembers what it is a part of. Nobody else may write it meanwhile.
        max_bytes: a longer file is refused.
        patience: how long to try.
        progress: show a bar on stderr, if that is a terminal.

    Raises:
        DownloadError: the file cannot be had.
        ExportError: it cannot be written (disk full); nothing of it is left.
    """
    file = _Part(part)
    try:
        with (
            _client(patience) as client,
            tqdm(
                desc=part.name.removesuffix(".part"),
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                file=sys.stderr,
                disable=None if progress else True,  # None: on a terminal alone
            ) as bar,
        ):
            _Download(client, url, file, max_bytes, patience, bar).run()
        file.finish()
    except DownloadError:
        if not file.origin(without_secrets(url)):
            file.discard()
        raise
    except OSError as error:
        file.discard()
        raise ExportError(f"{part.parent} cannot be written to: {error.strerror or error}") from error


def without_secrets(url: httpx.URL) -> str:
    """The address without user and password, for messages and files."""
    return str(url.copy_with(userinfo=b""))


@dataclass(slots=True)
class _Download:
    """The attempts at one file."""

    client: httpx.Client
    url: httpx.URL
    part: _Part
    max_bytes: int
    patience: Patience
    bar: "tqdm[NoReturn]"
    shown_url: str = field(init=False)
    deadline: float = field(init=False)
    connected: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.shown_url = without_secrets(self.url)
        self.deadline = time.monotonic() + self.patience.total_s

    def run(self) -> None:
        """Try until it is here.

        Raises:
            DownloadError: it will not come, or all attempts were in vain.
        """
        for attempt in itertools.count(1):
            try:
                self._attempt()
            except _TemporaryError as error:
                reason = str(error)
            else:
                return
            pause = self.patience.backoff_s * 2 ** (attempt - 1)
            if attempt >= self.patience.attempts or time.monotonic() + pause > self.deadline:
                raise DownloadError(f"{reason}, in attempt {attempt} of {self.patience.attempts}")
            LOG.info("%s; trying again", reason)
            time.sleep(pause)

    def _attempt(self) -> None:
        origin = self.part.origin(self.shown_url)
        offset = self.part.size() if origin else 0
        if origin and offset == origin.size:
            return  # the earlier run ended between the last byte and the next step
        headers = {"Range": f"bytes={offset}-", "If-Range": origin.etag} if origin else {}
        try:
            with self.client.stream("GET", self.url, headers=headers) as response:
                self.connected = True
                if origin and response.status_code in (206, 416):
                    self._require_rest(response, origin, offset)
                    self._receive(response, self.part.go_on(), offset, origin.size)
                else:
                    self._require_whole(response)
                    size = _content_length(response)
                    self._require_room(size)
                    self._receive(response, self.part.begin(_origin(response, self.shown_url, size)), 0, size)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            problem = f"{self._where()} cannot be reached{self._by_proxy()} ({_words(error)})"
            # Offline is said at once; a line that worked a moment ago may work again.
            raise (_TemporaryError if self.connected else DownloadError)(problem) from error
        except httpx.TimeoutException as error:
            raise _TemporaryError(f"nothing came from {self._where()} for {self.patience.read_s:g} s") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise _TemporaryError(f"{self._where()} broke the connection off ({_words(error)})") from error
        except httpx.HTTPError as error:
            raise DownloadError(f"{self._where()} cannot be spoken to ({_words(error)})") from error

    def _require_rest(self, response: httpx.Response, origin: _Origin, offset: int) -> None:
        """The answer is the rest of the file that we have the beginning of; else the next attempt starts anew."""
        self._require_safe(response)
        etag = response.headers.get("ETag", origin.etag)  # some servers ignore If-Range
        expected = f"bytes {offset}-{origin.size - 1}/{origin.size}"
        if response.status_code == 416 or etag != origin.etag or response.headers.get("Content-Range") != expected:
            self.part.discard()
            raise _TemporaryError(f"{self._where()} does not go on where it was interrupted")

    def _require_whole(self, response: httpx.Response) -> None:
        """The answer is the file, from its beginning."""
        self._require_safe(response)
        status = response.status_code
        if status in TEMPORARY_STATUSES:
            raise _TemporaryError(f"{self._where()} answered with status {status}")
        if status != 200:
            raise DownloadError(f"{self._where()} answered with status {status}")

    def _require_safe(self, response: httpx.Response) -> None:
        if self.url.scheme == "https" and any(hop.url.scheme != "https" for hop in (*response.history, response)):
            raise DownloadError(f"{self._where()} redirects from https to http")
        # We ask for none: the lengths and ranges are those of the file itself.
        if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
            raise DownloadError(f"{self._where()} sends it encoded ({coding})")

    def _require_room(self, size: int | None) -> None:
        """For the file and, unpacked, once more."""
        if size is None:
            return
        if size > self.max_bytes:
            raise DownloadError(f"it has {size / MIB:.0f} MiB, more than the {self.max_bytes / MIB:.0f} allowed")
        directory = self.part.path.parent
        free = shutil.disk_usage(directory).free + self.part.size()
        if free < 2 * size:
            self.part.discard()
            raise ExportError(
                f"{directory} has {free / MIB:.1f} MiB free, and fetching and unpacking needs {2 * size / MIB:.1f}"
            )

    def _receive(self, response: httpx.Response, file: BinaryIO, offset: int, size: int | None) -> None:
        self.bar.reset(size)
        self.bar.initial = self.bar.n = offset
        with file:
            for chunk in response.iter_raw():
                file.write(chunk)
                offset += len(chunk)
                self.bar.update(len(chunk))
                if offset > self.max_bytes:
                    self.part.discard()
                    raise DownloadError(f"it has more than the {self.max_bytes / MIB:.0f} MiB allowed")
                if time.monotonic() > self.deadline:
                    raise DownloadError(f"{self._where()} took longer than {self.patience.total_s:g} s")
        if size is not None and offset != size:
            raise _TemporaryError(f"{self._where()} sent {offset} of {size} bytes")

    def _where(self) -> str:
        return self.url.host

    def _by_proxy(self) -> str:
        """Or the fault is sought at the wrong host."""
        used = getproxies().keys() & {self.url.scheme, "all"} and not proxy_bypass(self.url.host)
        return " through the environment's proxy" if used else ""


def _client(patience: Patience) -> httpx.Client:
    timeout = httpx.Timeout(patience.read_s, connect=patience.connect_s)
    headers = {"Accept-Encoding": "identity", "User-Agent": "triton-sod"}
    try:
        return httpx.Client(timeout=timeout, headers=headers, follow_redirects=True, max_redirects=5, trust_env=True)
    # A proxy's address that is none or needs a package that is not installed; a certificate file that is absent.
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise DownloadError(f"the environment's proxy or certificate settings do not work ({error})") from error


def _content_length(response: httpx.Response) -> int | None:
    """Bytes; None if the server does not say."""
    length: str = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def _origin(response: httpx.Response, url: str, size: int | None) -> _Origin | None:
    """What to remember for going on; None if going on would not be safe."""
    etag = response.headers.get("ETag", "")
    return _Origin(url, etag, size) if size and etag.startswith('"') else None


def _words(error: Exception) -> str:
    """An exception's text as part of a sentence: one line, no number in brackets before it."""
    return re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(error).split())) or type(error).__name__

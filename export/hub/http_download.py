"""Downloads one file over HTTP. An interrupted download is kept and resumed.

Proxies and certificates come from the environment (`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` …), as httpx reads it.

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
class RetryPolicy:
    """Timeouts and number of attempts.

    Attributes:
        connect_s: seconds to connect to the host.
        read_s: seconds without a byte, after which a connection counts as dead.
        total_s: seconds for the whole file; also the longest wait for another process that downloads it.
        attempts: connections before giving up; each resumes the one before, if the server supports it.
        backoff_s: seconds before the second attempt; doubled before each further one.
    """

    connect_s: float = 10
    read_s: float = 30
    total_s: float = 2 * 3600
    attempts: int = 5
    backoff_s: float = 1


DEFAULT_RETRY = RetryPolicy()


class _TemporaryError(Exception):
    """This attempt failed, the next one may succeed; the text completes "… cannot be downloaded: "."""


@dataclass(frozen=True, slots=True)
class _RemoteFile:
    """Identifies the file that a partial download belongs to; stored beside it.

    Attributes:
        url: without user and password.
        etag: a strong ETag: equal ETags mean equal bytes.
        size: bytes of the whole file.
    """

    url: str
    etag: str
    size: int


class _PartialFile:
    """A partial download. If it can be resumed, a second file beside it identifies the remote file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._remote_path = path.with_name(f"{path.name}.json")

    def size(self) -> int:
        """Bytes downloaded so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def remote_file(self, url: str) -> _RemoteFile | None:
        """The file that this is the beginning of; None if there is nothing of `url` to resume."""
        try:
            remote = _RemoteFile(**json.loads(self._remote_path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return remote if remote.url == url and 0 < self.size() <= remote.size else None

    def restart(self, remote: _RemoteFile | None) -> BinaryIO:
        """Open the file empty, for the download of `remote`; None if it cannot be resumed."""
        # In this order: the identity must never stand beside bytes of another file.
        self._remote_path.unlink(missing_ok=True)
        file = self.path.open("wb")
        if remote:
            self._remote_path.write_text(json.dumps(asdict(remote)))
        return file

    def append(self) -> BinaryIO:
        """Open the file to add further bytes."""
        return self.path.open("ab")

    def discard(self) -> None:
        """Delete both files."""
        for path in (self._remote_path, self.path):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Flush the complete file to disk, and delete its identity."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self._remote_path.unlink(missing_ok=True)


def download(
    url: httpx.URL, part: Path, *, max_bytes: int, retry: RetryPolicy = DEFAULT_RETRY, progress: bool = True
) -> None:
    """Download the file at `url` to `part`; resume an earlier download if the remote file is still the same.

    On success `part` has the length that the server announced. After a temporary failure the bytes received so far
    are kept for the next call.

    Args:
        url: http or https; an https URL must not redirect to http.
        part: the file to write; `<part>.json` beside it identifies the remote file. The caller must hold the lock of
            the folder.
        max_bytes: a longer file is rejected.
        retry: timeouts and number of attempts.
        progress: show a progress bar on stderr, if that is a terminal.

    Raises:
        DownloadError: the file cannot be downloaded.
        ExportError: the file cannot be written (disk full); both files are deleted.
    """
    file = _PartialFile(part)
    try:
        with (
            _client(retry) as client,
            tqdm(
                desc=part.name.removesuffix(".part"),
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                file=sys.stderr,
                disable=None if progress else True,  # None: only on a terminal
            ) as bar,
        ):
            _Download(client, url, file, max_bytes, retry, bar).run()
        file.finish()
    except DownloadError:
        if not file.remote_file(without_secrets(url)):
            file.discard()
        raise
    except OSError as error:
        file.discard()
        raise ExportError(f"{part.parent} cannot be written to: {error.strerror or error}") from error


def without_secrets(url: httpx.URL) -> str:
    """The URL without user and password, for messages and files."""
    return str(url.copy_with(userinfo=b""))


@dataclass(slots=True)
class _Download:
    """The attempts to download one file."""

    client: httpx.Client
    url: httpx.URL
    part: _PartialFile
    max_bytes: int
    retry: RetryPolicy
    bar: "tqdm[NoReturn]"
    shown_url: str = field(init=False)
    deadline: float = field(init=False)
    connected: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.shown_url = without_secrets(self.url)
        self.deadline = time.monotonic() + self.retry.total_s

    def run(self) -> None:
        """Try until the file is complete.

        Raises:
            DownloadError: a permanent failure, or every attempt failed.
        """
        for attempt in itertools.count(1):
            try:
                self._attempt()
            except _TemporaryError as error:
                reason = str(error)
            else:
                return
            pause = self.retry.backoff_s * 2 ** (attempt - 1)
            if attempt >= self.retry.attempts or time.monotonic() + pause > self.deadline:
                raise DownloadError(f"{reason}, in attempt {attempt} of {self.retry.attempts}")
            LOG.info("%s; trying again", reason)
            time.sleep(pause)

    def _attempt(self) -> None:
        remote = self.part.remote_file(self.shown_url)
        offset = self.part.size() if remote else 0
        if remote and offset == remote.size:
            return  # an earlier process ended after the last byte
        headers = {"Range": f"bytes={offset}-", "If-Range": remote.etag} if remote else {}
        try:
            with self.client.stream("GET", self.url, headers=headers) as response:
                self.connected = True
                if remote and response.status_code in (206, 416):
                    self._require_remainder(response, remote, offset)
                    self._receive(response, self.part.append(), offset, remote.size)
                else:
                    self._require_whole(response)
                    size = _content_length(response)
                    self._require_space(size)
                    remote = _remote_file(response, self.shown_url, size)
                    self._receive(response, self.part.restart(remote), 0, size)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            problem = f"{self._host()} cannot be reached{self._through_proxy()} ({_error_text(error)})"
            # An unreachable host fails at once; after a first response the connection is likely to work again.
            raise (_TemporaryError if self.connected else DownloadError)(problem) from error
        except httpx.TimeoutException as error:
            raise _TemporaryError(f"{self._host()} sent nothing for {self.retry.read_s:g} s") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise _TemporaryError(f"{self._host()} closed the connection ({_error_text(error)})") from error
        except httpx.HTTPError as error:
            raise DownloadError(f"the HTTP exchange with {self._host()} failed ({_error_text(error)})") from error

    def _require_remainder(self, response: httpx.Response, remote: _RemoteFile, offset: int) -> None:
        """Check that the response is the remainder of the file; otherwise the next attempt starts anew."""
        self._require_safe(response)
        etag = response.headers.get("ETag", remote.etag)  # some servers ignore If-Range
        expected = f"bytes {offset}-{remote.size - 1}/{remote.size}"
        if response.status_code == 416 or etag != remote.etag or response.headers.get("Content-Range") != expected:
            self.part.discard()
            raise _TemporaryError(f"{self._host()} does not resume the interrupted download")

    def _require_whole(self, response: httpx.Response) -> None:
        """Check that the response is the whole file."""
        self._require_safe(response)
        status = response.status_code
        if status in TEMPORARY_STATUSES:
            raise _TemporaryError(f"{self._host()} responded with status {status}")
        if status != 200:
            raise DownloadError(f"{self._host()} responded with status {status}")

    def _require_safe(self, response: httpx.Response) -> None:
        if self.url.scheme == "https" and any(hop.url.scheme != "https" for hop in (*response.history, response)):
            raise DownloadError(f"{self._host()} redirects from https to http")
        # The request asks for no encoding, so that lengths and ranges are those of the file itself.
        if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
            raise DownloadError(f"{self._host()} sends the file with the content encoding {coding}")

    def _require_space(self, size: int | None) -> None:
        """Check that the disk has space for the archive and for the unpacked files, twice its size together."""
        if size is None:
            return
        if size > self.max_bytes:
            raise DownloadError(
                f"the file has {size / MIB:.0f} MiB, more than the {self.max_bytes / MIB:.0f} MiB allowed"
            )
        directory = self.part.path.parent
        free = shutil.disk_usage(directory).free + self.part.size()
        if free < 2 * size:
            self.part.discard()
            raise ExportError(
                f"{directory} has {free / MIB:.1f} MiB free, but download and unpacking need {2 * size / MIB:.1f} MiB"
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
                    raise DownloadError(f"the file has more than the {self.max_bytes / MIB:.0f} MiB allowed")
                if time.monotonic() > self.deadline:
                    raise DownloadError(f"{self._host()} took longer than {self.retry.total_s:g} s")
        if size is not None and offset != size:
            raise _TemporaryError(f"{self._host()} sent {offset} of {size} bytes")

    def _host(self) -> str:
        return self.url.host

    def _through_proxy(self) -> str:
        """Names the proxy in the error text, as the fault may be the proxy's."""
        used = getproxies().keys() & {self.url.scheme, "all"} and not proxy_bypass(self.url.host)
        return " through the environment's proxy" if used else ""


def _client(retry: RetryPolicy) -> httpx.Client:
    timeout = httpx.Timeout(retry.read_s, connect=retry.connect_s)
    headers = {"Accept-Encoding": "identity", "User-Agent": "triton-sod"}
    try:
        return httpx.Client(timeout=timeout, headers=headers, follow_redirects=True, max_redirects=5, trust_env=True)
    # An invalid proxy URL, a proxy scheme whose package is not installed, or a missing certificate file.
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise DownloadError(f"the environment's proxy or certificate settings do not work ({error})") from error


def _content_length(response: httpx.Response) -> int | None:
    """The announced length in bytes; None if the server does not announce it."""
    length: str = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def _remote_file(response: httpx.Response, url: str, size: int | None) -> _RemoteFile | None:
    """The identity of the file, for resuming; None if the response has no length or no strong ETag."""
    etag = response.headers.get("ETag", "")
    return _RemoteFile(url, etag, size) if size and etag.startswith('"') else None


def _error_text(error: Exception) -> str:
    """An exception's text as part of a sentence: on one line, without the error number in front."""
    return re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(error).split())) or type(error).__name__

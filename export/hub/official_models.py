"""The official models of PaddleX, by name: downloaded once, checked at every use.

Settings from the environment:
    SOD_CACHE: the folder for downloads; the default is `~/.cache/triton-sod`.
    SOD_MODEL_MIRROR: an http(s) directory with the same archives, to use in place of Baidu's.
    HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE: the usual meaning.

For each model the cache contains the downloaded archive, the directory unpacked from it, and an entry in
`downloads.lock.json` (see `pins`). On a machine without a network, copy the archive there by hand.
"""

import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import httpx

from export.errors import DownloadError, ExportError
from export.files import sha256
from export.hub.archive import DEFAULT_ARCHIVE_LIMITS, unpack
from export.hub.http_download import DEFAULT_RETRY, MIB, RetryPolicy, download, without_secrets
from export.hub.pins import LOCK_NAME, Pin, digests, read_pins, write_pin

LOG = logging.getLogger(__name__)

# Source: PaddleX 3, paddlex/inference/utils/official_models.py (OFFICIAL_MODELS).
OFFICIAL_BASE = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_inference_model/paddle3.0.0/"
OFFICIAL_ARCHIVES = {
    "PP-YOLOE_plus_SOD-S": "PP-YOLOE_plus_SOD-S_infer.tar",
    "PP-YOLOE_plus_SOD-L": "PP-YOLOE_plus_SOD-L_infer.tar",
    "PP-YOLOE_plus_SOD-largesize-L": "PP-YOLOE_plus_SOD-largesize-L_infer.tar",
}
MIRROR_VARIABLE = "SOD_MODEL_MIRROR"
CACHE_VARIABLE = "SOD_CACHE"


def fetch_official(
    name: str,
    cache_dir: Path | None = None,
    *,
    base_url: str | None = None,
    progress: bool = True,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> Path:
    """The directory of an official model: inference.json (or .pdmodel), inference.pdiparams, inference.yml.

    A model in the cache is used without a network, after its SHA-256 has been compared with the recorded one. If
    several processes call this at once, one downloads and the others wait.

    Args:
        name: a key of `OFFICIAL_ARCHIVES`.
        cache_dir: the folder for downloads; None for `default_cache_dir()`.
        base_url: the http(s) directory with the archives; None for that of SOD_MODEL_MIRROR, or Baidu's.
        progress: show a progress bar on stderr, if that is a terminal.
        retry: timeouts and number of attempts.

    Raises:
        DownloadError: the download failed; the text says how to get the archive by hand.
        ExportError: the downloaded or cached archive is not the recorded one; or the cache cannot be written to.
    """
    url = official_url(name, base_url)
    directory = cache_dir or default_cache_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _cache_lock(directory, retry.total_s):
            return _CachedModel(name, url, directory).get(retry, progress=progress)
    except OSError as error:
        raise ExportError(f"the cache {directory} cannot be used: {error.strerror or error}") from error


def default_cache_dir() -> Path:
    """`$SOD_CACHE`, or `~/.cache/triton-sod`.

    Raises:
        ExportError: there is no home directory.
    """
    if value := os.environ.get(CACHE_VARIABLE):
        return Path(value)
    try:
        return Path.home() / ".cache" / "triton-sod"
    except RuntimeError as error:
        raise ExportError(f"there is no home directory for the downloads: set {CACHE_VARIABLE}=<directory>") from error


def official_url(name: str, base_url: str | None = None) -> httpx.URL:
    """The URL of an official model's archive.

    Args:
        name: a key of `OFFICIAL_ARCHIVES`.
        base_url: see `fetch_official`.

    Raises:
        ExportError: there is no such model, or the base is not an http or https URL.
    """
    archive = OFFICIAL_ARCHIVES.get(name)
    if archive is None:
        raise ExportError(f"{name!r} is not an official model; they are {', '.join(OFFICIAL_ARCHIVES)}")
    base = base_url or os.environ.get(MIRROR_VARIABLE) or OFFICIAL_BASE
    try:
        url = httpx.URL(f"{base.strip().rstrip('/')}/{archive}")
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ExportError(
            f"the models' base URL ({MIRROR_VARIABLE}) must look like https://host/directory, without ? and #"
        )
    return url


class _CachedModel:
    """One cached model. The caller must hold the lock of the cache."""

    def __init__(self, name: str, url: httpx.URL, directory: Path) -> None:
        self.name, self.url, self.directory = name, url, directory
        self.archive = directory / OFFICIAL_ARCHIVES[name]
        self.part = directory / f"{self.archive.name}.part"
        self.model_dir = directory / name
        self.lock = directory / LOCK_NAME
        self.pin = read_pins(self.lock).get(self.archive.name)

    def get(self, retry: RetryPolicy, *, progress: bool) -> Path:
        """The model's directory; see `fetch_official`."""
        if self.archive.exists():
            self._require_pinned(
                self.archive,
                f"{self.archive} is not the file that was recorded in {LOCK_NAME}: delete it and run again "
                "to download it again",
            )
        if self.pin and self.model_dir.exists():
            if digests(self.model_dir) != self.pin.files:
                raise ExportError(
                    f"{self.model_dir} has changed since it was unpacked: delete it and run again, "
                    "or use it as it is with MODEL_DIR=<its path>"
                )
            return self.model_dir
        if self.archive.exists():
            self._install(self.archive, f"{self.archive}")
        else:
            self._download(retry, progress=progress)
        return self.model_dir

    def _download(self, retry: RetryPolicy, *, progress: bool) -> None:
        shown = without_secrets(self.url)
        LOG.info("downloading %s to %s", shown, self.directory)
        try:
            download(
                self.url,
                self.part,
                max_bytes=DEFAULT_ARCHIVE_LIMITS.total_bytes,
                retry=retry,
                progress=progress,
            )
        except DownloadError as error:
            again = "run again to resume" if self.part.exists() else "run again later"
            raise DownloadError(
                f"{self.name} cannot be downloaded: {error}; {again}, or set {MIRROR_VARIABLE} to a mirror, "
                f"or download {shown} in another way and put it at {self.archive}, or unpack it and give "
                "MODEL_DIR=<the directory>"
            ) from error
        try:
            self._require_pinned(
                self.part,
                f"{shown} is not the file that was recorded in {self.lock} when it was first downloaded: if the change "
                f"is expected, delete the entry {self.archive.name} there{self._and_model_dir()}, and run again",
            )
            self._install(self.part, f"the file at {shown}")
        except ExportError:
            self.part.unlink(missing_ok=True)
            raise
        LOG.info("%s: %.1f MiB", self.archive.name, self.archive.stat().st_size / MIB)

    def _and_model_dir(self) -> str:
        return f" and {self.model_dir}" if self.model_dir.exists() else ""

    def _require_pinned(self, path: Path, message: str) -> None:
        if self.pin and (path.stat().st_size != self.pin.size or sha256(path) != self.pin.sha256):
            raise ExportError(message)

    def _install(self, source: Path, label: str) -> None:
        """Unpack the archive, record its pin, and move both into the cache; on any error the cache stays as it was."""
        work = self.directory / f".{self.name}.unpacking"
        shutil.rmtree(work, ignore_errors=True)  # left by a process that was killed
        try:
            unpacked = unpack(source, work, label)
            url = without_secrets(self.url) if source == self.part else ""
            pin = self.pin or Pin(url, source.stat().st_size, sha256(source), digests(unpacked))
            # A directory with other content may be the user's: it is never replaced.
            if self.model_dir.exists() and digests(self.model_dir) != pin.files:
                raise ExportError(
                    f"{self.model_dir} differs from the downloaded model: move it away, or use it with "
                    "MODEL_DIR=<its path>"
                )
            # The pin comes first: if the process is killed between these steps, the next one finds a pin that fits.
            write_pin(self.lock, self.archive.name, pin)
            source.replace(self.archive)
            if not self.model_dir.exists():
                unpacked.replace(self.model_dir)
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _cache_lock(directory: Path, seconds: float) -> Iterator[None]:
    """Lock the cache against other processes. A cache that cannot be written to needs no lock.

    Raises:
        ExportError: another process has held the lock for longer than `seconds`.
    """
    try:
        file = (directory / ".downloads.lock").open("a")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS):
            raise
        file = None
    with file or nullcontext():
        if file:
            _wait_for_lock(file.fileno(), directory, seconds)
        yield


def _wait_for_lock(descriptor: int, directory: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    logged = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ExportError(f"another process has locked {directory} for {seconds:g} s") from error
        else:
            return
        if not logged:
            LOG.info("waiting for another process that is downloading to %s", directory)
            logged = True
        time.sleep(0.1)

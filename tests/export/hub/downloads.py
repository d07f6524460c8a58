"""Downloads from a `FileServer` into a cache of the test's own."""

from pathlib import Path

import pytest

from export.errors import ExportError
from export.hub.http_download import RetryPolicy
from export.hub.official_models import fetch_official
from tests.export.hub.file_server import FileServer
from tests.export.hub.tars import ARCHIVE, FILES, NAME, model_tar

QUICK = RetryPolicy(connect_s=20, read_s=20, total_s=60, attempts=3, backoff_s=0)
GOOD = model_tar()
COMPLETE = sorted([NAME, ARCHIVE, "downloads.lock.json"])  # the files of a cache with one model


def fetch(server: FileServer, cache: Path, retry: RetryPolicy = QUICK) -> Path:
    return fetch_official(NAME, cache, base_url=server.url, retry=retry)


def fetch_error(server: FileServer, cache: Path, retry: RetryPolicy = QUICK) -> str:
    """The error text of a download that fails: one line."""
    with pytest.raises(ExportError) as caught:
        fetch(server, cache, retry)
    message = str(caught.value)
    assert message.isprintable()
    return message


def assert_complete(directory: Path) -> None:
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == FILES


def names(directory: Path) -> list[str]:
    """The files of the cache, without its lock."""
    return sorted(path.name for path in directory.iterdir() if path.name != ".downloads.lock")

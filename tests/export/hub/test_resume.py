"""An interrupted download is resumed if the remote file is still the same."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from export.hub.http_download import RetryPolicy
from export.hub.official_models import fetch_official
from tests.export.hub.downloads import COMPLETE, GOOD, QUICK, assert_complete, fetch, fetch_error, names
from tests.export.hub.file_server import FileServer, another_remainder, cut_off, status
from tests.export.hub.tars import ARCHIVE, NAME, model_tar


def test_an_interrupted_download_is_resumed(server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.faults.append(cut_off(100_000))
    caplog.set_level(logging.INFO, "export")
    assert_complete(fetch(server, cache))
    assert server.requested_ranges == [None, "bytes=100000-"]
    assert server.requests[1][1]["if-range"] == '"one"'
    assert names(cache) == COMPLETE
    assert "127.0.0.1 closed the connection" in caplog.text


def test_the_next_call_resumes(server: FileServer, cache: Path) -> None:
    server.faults.append(cut_off(100_000))
    message = fetch_error(server, cache, RetryPolicy(attempts=1))
    assert "run again to resume, or set SOD_MODEL_MIRROR" in message
    assert_complete(fetch(server, cache))
    assert server.requested_ranges == [None, "bytes=100000-"]
    assert names(cache) == COMPLETE


def test_a_download_from_another_url_is_not_resumed(server: FileServer, cache: Path) -> None:
    server.faults.append(cut_off(100_000))
    fetch_error(server, cache, RetryPolicy(attempts=1))
    fetch_official(NAME, cache, base_url=f"{server.url}/other", retry=QUICK)
    assert server.requested_ranges == [None, None]


def test_a_complete_part_needs_no_request(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    (cache / f"{ARCHIVE}.part").write_bytes(GOOD)
    origin = {"url": f"{server.url}/{ARCHIVE}", "etag": '"one"', "size": len(GOOD)}
    (cache / f"{ARCHIVE}.part.json").write_text(json.dumps(origin))
    assert_complete(fetch(server, cache))
    assert server.requests == []
    assert names(cache) == COMPLETE


@pytest.mark.parametrize("origin", ["", "[]", '{"url": 1}', "\x00"])
def test_a_part_without_a_valid_identity_is_not_resumed(server: FileServer, cache: Path, origin: str) -> None:
    cache.mkdir()
    (cache / f"{ARCHIVE}.part").write_bytes(b"x" * 1000)
    (cache / f"{ARCHIVE}.part.json").write_text(origin)
    assert_complete(fetch(server, cache))
    assert server.requested_ranges == [None]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_etag_the_download_starts_again(server: FileServer, cache: Path, etag: str) -> None:
    server.etag = etag
    server.faults.append(cut_off(100_000))
    assert_complete(fetch(server, cache))
    assert server.requested_ranges == [None, None]


def test_without_an_etag_no_part_is_kept(server: FileServer, cache: Path) -> None:
    server.etag = ""
    server.faults.append(cut_off(100_000))
    assert "run again later" in fetch_error(server, cache, RetryPolicy(attempts=1))
    assert names(cache) == []


def test_a_server_without_ranges(server: FileServer, cache: Path) -> None:
    server.ranges = False
    server.faults.append(cut_off(100_000))
    assert_complete(fetch(server, cache))
    assert server.requested_ranges == [None, "bytes=100000-"]


def test_a_file_that_changed_meanwhile(server: FileServer, cache: Path) -> None:
    server.faults.append(cut_off(100_000))
    fetch_error(server, cache, RetryPolicy(attempts=1))
    server.etag, server.files[ARCHIVE] = '"two"', model_tar(pdiparams=b"new" * 100_000)
    directory = fetch(server, cache)
    assert (directory / "inference.pdiparams").read_bytes() == b"new" * 100_000


@pytest.mark.parametrize(
    "fault",
    [
        status(416),
        another_remainder,
        status(206, ETag='"one"', Content_Range="bytes 0-9/10"),
        status(206, ETag='"one"', Content_Range="nonsense"),
        status(206, ETag='"one"'),
    ],
)
def test_a_remainder_that_does_not_fit_is_discarded(server: FileServer, cache: Path, fault: Any) -> None:
    server.faults += [cut_off(100_000), fault]
    assert_complete(fetch(server, cache))
    assert server.requested_ranges == [None, "bytes=100000-", None]

"""Damaged, unsafe and changed files are rejected, and a full disk changes nothing."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from export.hub import official_models
from export.hub.archive import ArchiveLimits
from tests.export.hub.downloads import COMPLETE, GOOD, assert_complete, fetch, fetch_error, names
from tests.export.hub.file_server import FileServer, chunked
from tests.export.hub.tars import ARCHIVE, NAME, entry, model_tar, tar


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>Please log in</html>", "is not a tar archive but a web page"),
        (b"", "is empty"),
        (GOOD[:100_000], "is damaged or not a tar archive"),
        (tar([entry("../evil", b"x")]), "is not safe to unpack: '../evil' points outside the archive"),
        (
            tar([entry("inference.yml", b"x")]),
            "contains no inference.json or inference.pdmodel, no inference.pdiparams",
        ),
    ],
)
def test_a_bad_archive_leaves_nothing(server: FileServer, cache: Path, content: bytes, said: str) -> None:
    server.files[ARCHIVE] = content
    message = fetch_error(server, cache)
    assert message.startswith(f"the file at {server.url}/{ARCHIVE} {said}")
    assert names(cache) == []
    server.files[ARCHIVE] = GOOD
    assert_complete(fetch(server, cache))


@pytest.mark.parametrize(
    ("faults", "said"),
    [([], "the file has 0 MiB, more than the 0 MiB allowed"), ([chunked], "the file has more than the 0 MiB allowed")],
)
def test_too_large(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch, faults: list[Any], said: str
) -> None:
    monkeypatch.setattr(official_models, "DEFAULT_ARCHIVE_LIMITS", ArchiveLimits(total_bytes=1000))
    server.faults += faults
    assert said in fetch_error(server, cache)
    assert names(cache) == []


def test_a_cached_archive_that_was_changed(server: FileServer, cache: Path) -> None:
    fetch(server, cache)
    changed = bytearray(GOOD)
    changed[2000] ^= 1
    (cache / ARCHIVE).write_bytes(changed)
    assert fetch_error(server, cache) == (
        f"{cache / ARCHIVE} is not the file that was recorded in downloads.lock.json: delete it and run again to "
        "download it again"
    )
    (cache / ARCHIVE).unlink()
    assert_complete(fetch(server, cache))


@pytest.mark.parametrize("change", ["content", "missing", "added"])
def test_a_directory_that_was_changed(server: FileServer, cache: Path, change: str) -> None:
    directory = fetch(server, cache)
    if change == "content":
        (directory / "inference.yml").write_text("mode: changed\n")
    elif change == "missing":
        (directory / "inference.yml").unlink()
    else:
        (directory / "more").write_text("")
    assert f"{directory} has changed since it was unpacked: delete it and run again" in fetch_error(server, cache)
    shutil.rmtree(directory)
    assert_complete(fetch(server, cache))


def test_a_directory_of_the_user_is_never_replaced(server: FileServer, cache: Path) -> None:
    (cache / NAME).mkdir(parents=True)
    (cache / NAME / "mine").write_text("mine")
    assert f"{cache / NAME} differs from the downloaded model: move it away" in fetch_error(server, cache)
    assert (cache / NAME / "mine").read_text() == "mine"
    assert names(cache) == [NAME]


def test_a_download_that_differs_from_the_pin_is_rejected(server: FileServer, cache: Path) -> None:
    fetch(server, cache)
    shutil.rmtree(cache / NAME)
    (cache / ARCHIVE).unlink()
    server.files[ARCHIVE] = model_tar(yml=b"mode: new\n")
    message = fetch_error(server, cache)
    assert f"{server.url}/{ARCHIVE} is not the file that was recorded in {cache / 'downloads.lock.json'}" in message
    assert f"delete the entry {ARCHIVE} there, and run again" in message
    assert names(cache) == ["downloads.lock.json"]
    (cache / "downloads.lock.json").write_text("{}")
    assert (fetch(server, cache) / "inference.yml").read_bytes() == b"mode: new\n"


def test_a_lock_file_from_another_machine_is_binding(server: FileServer, cache: Path, tmp_path: Path) -> None:
    fetch(server, cache)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(cache / "downloads.lock.json", other)
    server.files[ARCHIVE] = model_tar(yml=b"mode: evil\n")
    assert "is not the file that was recorded" in fetch_error(server, other)
    server.files[ARCHIVE] = GOOD
    assert_complete(fetch(server, other))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 1}', '{"a": {}}', '{"a": {"url": "", "size": "1", "sha256": "", "files": {}}}', "\xff"]
)
def test_a_damaged_lock_file(server: FileServer, cache: Path, text: str) -> None:
    cache.mkdir()
    (cache / "downloads.lock.json").write_text(text, encoding="latin-1")
    assert "downloads.lock.json is damaged: repair it, or delete it" in fetch_error(server, cache)


def test_leftovers_of_a_killed_process_are_removed(server: FileServer, cache: Path) -> None:
    left = cache / f".{NAME}.unpacking"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    assert_complete(fetch(server, cache))
    assert names(cache) == COMPLETE


def test_a_full_disk_while_it_downloads(server: FileServer, cache: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which answers each write with: No space left on device")
    cache.mkdir()
    (cache / f"{ARCHIVE}.part").symlink_to("/dev/full")
    assert fetch_error(server, cache) == f"{cache} cannot be written to: No space left on device"
    assert names(cache) == []


def test_a_full_disk_while_it_unpacks(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tarfile.copyfileobj", full)
    assert fetch_error(server, cache).endswith("cannot be unpacked: No space left on device")
    assert names(cache) == []


def test_too_little_disk_space_is_an_error_before_anything_is_written(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 500_000))
    assert fetch_error(server, cache) == f"{cache} has 0.5 MiB free, but download and unpacking need 0.6 MiB"
    assert names(cache) == []

"""Official models by name: addresses, settings, the cache, progress and log lines."""

import errno
import fcntl
import hashlib
import io
import json
import logging
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from export.errors import DownloadError, ExportError
from export.hub.http_download import RetryPolicy
from export.hub.official_models import OFFICIAL_ARCHIVES, OFFICIAL_BASE, default_cache_dir, fetch_official, official_url
from tests.export.hub.downloads import COMPLETE, GOOD, QUICK, assert_complete, fetch, fetch_error, names
from tests.export.hub.file_server import FileServer, cut_off, status
from tests.export.hub.tars import ARCHIVE, FILES, NAME, model_tar


def test_the_official_addresses() -> None:
    assert [str(official_url(name)) for name in OFFICIAL_ARCHIVES] == [
        f"{OFFICIAL_BASE}PP-YOLOE_plus_SOD-{size}_infer.tar" for size in ("S", "L", "largesize-L")
    ]


def test_an_unknown_model_is_an_error_that_lists_the_official_ones(cache: Path) -> None:
    with pytest.raises(ExportError, match="'YOLOv9' is not an official model; they are PP-YOLOE_plus_SOD-S, "):
        fetch_official("YOLOv9", cache)
    assert not cache.exists()


@pytest.mark.parametrize("base", ["ftp://h/x", "h/x", "file:///x", "https://", "http://h:x/y", "https://h/x?a=b", " "])
def test_an_invalid_base_url(base: str, cache: Path) -> None:
    with pytest.raises(ExportError, match="must look like https://host/directory"):
        fetch_official(NAME, cache, base_url=base)
    assert not cache.exists()


def test_the_default_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SOD_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "triton-sod"
    monkeypatch.setenv("SOD_CACHE", "models")
    assert default_cache_dir() == Path("models")


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.delenv("SOD_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ExportError, match="set SOD_CACHE="):
        default_cache_dir()


def test_a_download(server: FileServer, cache: Path) -> None:
    directory = fetch(server, cache)
    assert directory == cache / NAME
    assert_complete(directory)
    assert names(cache) == COMPLETE
    assert json.loads((cache / "downloads.lock.json").read_text()) == {
        ARCHIVE: {
            "url": f"{server.url}/{ARCHIVE}",
            "size": len(GOOD),
            "sha256": hashlib.sha256(GOOD).hexdigest(),
            "files": {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()},
        }
    }
    assert len(server.requests) == 1
    assert server.requests[0][1]["accept-encoding"] == "identity"


def test_the_second_time_needs_no_network(server: FileServer, cache: Path) -> None:
    assert fetch(server, cache) == fetch(server, cache)
    assert len(server.requests) == 1


def test_several_models_share_the_lock_file(server: FileServer, cache: Path) -> None:
    server.files[OFFICIAL_ARCHIVES["PP-YOLOE_plus_SOD-L"]] = model_tar("L/", yml=b"mode: L\n")
    fetch(server, cache)
    directory = fetch_official("PP-YOLOE_plus_SOD-L", cache, base_url=server.url, retry=QUICK)
    assert (directory / "inference.yml").read_bytes() == b"mode: L\n"
    assert sorted(json.loads((cache / "downloads.lock.json").read_text())) == [
        "PP-YOLOE_plus_SOD-L_infer.tar",
        "PP-YOLOE_plus_SOD-S_infer.tar",
    ]


def test_the_mirror_and_the_cache_of_the_environment(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOD_MODEL_MIRROR", f"{server.url}/")
    monkeypatch.setenv("SOD_CACHE", str(cache))
    assert_complete(fetch_official(NAME, retry=QUICK))
    assert names(cache) == COMPLETE


def test_the_parameter_overrides_the_environment(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOD_MODEL_MIRROR", "http://127.0.0.1:1/")
    assert_complete(fetch(server, cache))


def test_a_password_of_the_mirror_is_neither_printed_nor_stored(
    server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = server.url.replace("http://", "http://me:secret@")
    server.faults += [cut_off(1000), status(404)]
    caplog.set_level(logging.INFO, "export")
    with pytest.raises(DownloadError) as caught:
        fetch_official(NAME, cache, base_url=base, retry=QUICK)
    fetch_official(NAME, cache, base_url=base, retry=QUICK)
    assert all(headers["authorization"].startswith("Basic ") for _, headers in server.requests)
    kept = [path.read_text() for path in cache.rglob("*.json")]
    assert "secret" not in " ".join([str(caught.value), caplog.text, *kept])


def test_an_archive_put_there_by_hand(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    (cache / ARCHIVE).write_bytes(GOOD)
    assert_complete(fetch(server, cache))
    assert server.requests == []
    assert json.loads((cache / "downloads.lock.json").read_text())[ARCHIVE]["url"] == ""


def test_a_bad_archive_put_there_by_hand_stays(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    (cache / ARCHIVE).write_bytes(GOOD[:5000])
    assert f"{cache / ARCHIVE} is damaged" in fetch_error(server, cache)
    assert names(cache) == [ARCHIVE]


def test_the_archive_is_not_needed_once_it_is_unpacked(server: FileServer, cache: Path) -> None:
    fetch(server, cache)
    (cache / ARCHIVE).unlink()
    assert_complete(fetch(server, cache))
    assert len(server.requests) == 1


def test_the_directory_is_unpacked_again_where_it_was_deleted(server: FileServer, cache: Path) -> None:
    shutil.rmtree(fetch(server, cache))
    assert_complete(fetch(server, cache))
    assert len(server.requests) == 1


def test_a_cache_that_cannot_be_written_to_is_used(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(server, cache)
    opened = Path.open

    def read_only(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if mode not in ("r", "rb"):  # not by permissions, which do not apply to root
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", read_only)
    assert_complete(fetch(server, cache))
    shutil.rmtree(cache / NAME)
    (cache / ARCHIVE).unlink()
    assert fetch_error(server, cache).endswith("cannot be written to: Permission denied")


def test_the_cache_is_a_file(server: FileServer, cache: Path) -> None:
    cache.write_text("")
    assert fetch_error(server, cache) == f"the cache {cache} cannot be used: File exists"


def test_four_concurrent_calls_download_once(server: FileServer, cache: Path) -> None:
    directories: list[Path] = []
    threads = [threading.Thread(target=lambda: directories.append(fetch(server, cache))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert directories == [cache / NAME] * 4
    assert_complete(directories[0])
    assert len(server.requests) == 1
    assert names(cache) == COMPLETE


def test_another_process_that_keeps_the_lock(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    with (cache / ".downloads.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        message = fetch_error(server, cache, RetryPolicy(total_s=0.2))
    assert message == f"another process has locked {cache} for 0.2 s"
    assert server.requests == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_goes_to_a_terminal_on_stderr(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    server.faults.append(cut_off(100_000))
    fetch(server, cache)
    assert ARCHIVE in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("terminal", [Terminal(), io.StringIO()])
def test_no_progress(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch, terminal: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    fetch_official(NAME, cache, base_url=server.url, progress=not terminal.isatty(), retry=QUICK)
    assert terminal.getvalue() == ""


def test_log_lines(server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "export")
    fetch(server, cache)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("export")] == [
        f"downloading {server.url}/{ARCHIVE} to {cache}",
        f"{ARCHIVE}: {len(GOOD) / 2**20:.1f} MiB",
    ]

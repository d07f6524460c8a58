"""Official models, from a real server on loopback that fails in every way that it can."""

import errno
import fcntl
import hashlib
import io
import json
import logging
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from export.errors import DownloadError, ExportError
from export.hub import download, transfer
from export.hub.archive import ArchiveLimits
from export.hub.download import OFFICIAL_ARCHIVES, OFFICIAL_BASE, default_cache_dir, fetch_official, official_url
from export.hub.transfer import Patience
from tests.export.hub.file_server import FileServer, Proxy, another_rest, chunked, cut_off, stall, status, with_headers
from tests.export.hub.tars import ARCHIVE, FILES, NAME, entry, model_tar, tar

QUICK = Patience(connect_s=20, read_s=20, total_s=60, attempts=3, backoff_s=0)
GOOD = model_tar()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SOD_MODEL_MIRROR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({ARCHIVE: GOOD}) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fetch(server: FileServer, cache: Path, patience: Patience = QUICK) -> Path:
    return fetch_official(NAME, cache, base_url=server.url, patience=patience)


def refused(server: FileServer, cache: Path, patience: Patience = QUICK) -> str:
    with pytest.raises(ExportError) as caught:
        fetch(server, cache, patience)
    message = str(caught.value)
    assert message.isprintable()
    return message


def assert_whole(directory: Path) -> None:
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == FILES


def names(directory: Path) -> list[str]:
    """Without the lock that runs hold."""
    return sorted(path.name for path in directory.iterdir() if path.name != ".downloads.lock")


ALL = sorted([NAME, ARCHIVE, "downloads.lock.json"])


# The names


def test_the_official_addresses() -> None:
    assert [str(official_url(name)) for name in OFFICIAL_ARCHIVES] == [
        f"{OFFICIAL_BASE}PP-YOLOE_plus_SOD-{size}_infer.tar" for size in ("S", "L", "largesize-L")
    ]


def test_an_unknown_model_is_answered_with_the_known_ones(cache: Path) -> None:
    with pytest.raises(ExportError, match="'YOLOv9' is no official model; those are PP-YOLOE_plus_SOD-S, "):
        fetch_official("YOLOv9", cache)
    assert not cache.exists()


@pytest.mark.parametrize("base", ["ftp://h/x", "h/x", "file:///x", "https://", "http://h:x/y", "https://h/x?a=b", " "])
def test_a_base_that_is_no_address(base: str, cache: Path) -> None:
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


# The good way


def test_a_download(server: FileServer, cache: Path) -> None:
    directory = fetch(server, cache)
    assert directory == cache / NAME
    assert_whole(directory)
    assert names(cache) == ALL
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


def test_several_models_share_the_record(server: FileServer, cache: Path) -> None:
    server.files[OFFICIAL_ARCHIVES["PP-YOLOE_plus_SOD-L"]] = model_tar("L/", yml=b"mode: L\n")
    fetch(server, cache)
    directory = fetch_official("PP-YOLOE_plus_SOD-L", cache, base_url=server.url, patience=QUICK)
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
    assert_whole(fetch_official(NAME, patience=QUICK))
    assert names(cache) == ALL


def test_the_parameter_has_precedence(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_MODEL_MIRROR", "http://127.0.0.1:1/")
    assert_whole(fetch(server, cache))


def test_a_password_of_the_mirror_is_sent_but_neither_said_nor_kept(
    server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = server.url.replace("http://", "http://me:secret@")
    server.faults += [cut_off(1000), status(404)]
    caplog.set_level(logging.INFO, "export")
    with pytest.raises(DownloadError) as caught:
        fetch_official(NAME, cache, base_url=base, patience=QUICK)
    fetch_official(NAME, cache, base_url=base, patience=QUICK)
    assert all(headers["authorization"].startswith("Basic ") for _, headers in server.requests)
    kept = [path.read_text() for path in cache.rglob("*.json")]
    assert "secret" not in " ".join([str(caught.value), caplog.text, *kept])


def test_an_archive_put_there_by_hand(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    (cache / ARCHIVE).write_bytes(GOOD)
    assert_whole(fetch(server, cache))
    assert server.requests == []
    assert json.loads((cache / "downloads.lock.json").read_text())[ARCHIVE]["url"] == ""


def test_a_bad_archive_put_there_by_hand_stays(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    (cache / ARCHIVE).write_bytes(GOOD[:5000])
    assert f"{cache / ARCHIVE} is damaged" in refused(server, cache)
    assert names(cache) == [ARCHIVE]


def test_the_archive_is_not_needed_once_it_is_unpacked(server: FileServer, cache: Path) -> None:
    fetch(server, cache)
    (cache / ARCHIVE).unlink()
    assert_whole(fetch(server, cache))
    assert len(server.requests) == 1


def test_the_directory_is_unpacked_again_where_it_was_deleted(server: FileServer, cache: Path) -> None:
    shutil.rmtree(fetch(server, cache))
    assert_whole(fetch(server, cache))
    assert len(server.requests) == 1


def test_a_cache_that_cannot_be_written_to_is_used(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(server, cache)
    opened = Path.open

    def read_only(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if mode not in ("r", "rb"):  # root may write anywhere, whatever the permissions say
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", read_only)
    assert_whole(fetch(server, cache))
    shutil.rmtree(cache / NAME)
    (cache / ARCHIVE).unlink()
    assert refused(server, cache).endswith("cannot be written to: Permission denied")


def test_the_cache_is_a_file(server: FileServer, cache: Path) -> None:
    cache.write_text("")
    assert refused(server, cache) == f"the cache {cache} cannot be used: File exists"


# The line


def test_cut_off_and_gone_on_with(server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.faults.append(cut_off(100_000))
    caplog.set_level(logging.INFO, "export")
    assert_whole(fetch(server, cache))
    assert server.ranges_asked == [None, "bytes=100000-"]
    assert server.requests[1][1]["if-range"] == '"one"'
    assert names(cache) == ALL
    assert "127.0.0.1 broke the connection off" in caplog.text


def test_the_next_run_goes_on(server: FileServer, cache: Path) -> None:
    server.faults.append(cut_off(100_000))
    message = refused(server, cache, Patience(attempts=1))
    assert "run again to go on, or set SOD_MODEL_MIRROR" in message
    assert_whole(fetch(server, cache))
    assert server.ranges_asked == [None, "bytes=100000-"]
    assert names(cache) == ALL


def test_not_gone_on_with_from_elsewhere(server: FileServer, cache: Path) -> None:
    server.faults.append(cut_off(100_000))
    refused(server, cache, Patience(attempts=1))
    fetch_official(NAME, cache, base_url=f"{server.url}/other", patience=QUICK)
    assert server.ranges_asked == [None, None]


def test_a_run_that_ended_after_the_last_byte(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    (cache / f"{ARCHIVE}.part").write_bytes(GOOD)
    origin = {"url": f"{server.url}/{ARCHIVE}", "etag": '"one"', "size": len(GOOD)}
    (cache / f"{ARCHIVE}.part.json").write_text(json.dumps(origin))
    assert_whole(fetch(server, cache))
    assert server.requests == []
    assert names(cache) == ALL


@pytest.mark.parametrize("origin", ["", "[]", '{"url": 1}', "\x00"])
def test_a_part_of_unknown_origin_is_not_believed(server: FileServer, cache: Path, origin: str) -> None:
    cache.mkdir()
    (cache / f"{ARCHIVE}.part").write_bytes(b"x" * 1000)
    (cache / f"{ARCHIVE}.part.json").write_text(origin)
    assert_whole(fetch(server, cache))
    assert server.ranges_asked == [None]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_etag_it_starts_anew(server: FileServer, cache: Path, etag: str) -> None:
    server.etag = etag
    server.faults.append(cut_off(100_000))
    assert_whole(fetch(server, cache))
    assert server.ranges_asked == [None, None]


def test_without_one_nothing_is_kept(server: FileServer, cache: Path) -> None:
    server.etag = ""
    server.faults.append(cut_off(100_000))
    assert "run again later" in refused(server, cache, Patience(attempts=1))
    assert names(cache) == []


def test_a_server_without_ranges(server: FileServer, cache: Path) -> None:
    server.ranges = False
    server.faults.append(cut_off(100_000))
    assert_whole(fetch(server, cache))
    assert server.ranges_asked == [None, "bytes=100000-"]


def test_the_file_changed_meanwhile(server: FileServer, cache: Path) -> None:
    server.faults.append(cut_off(100_000))
    refused(server, cache, Patience(attempts=1))
    server.etag, server.files[ARCHIVE] = '"two"', model_tar(pdiparams=b"new" * 100_000)
    directory = fetch(server, cache)
    assert (directory / "inference.pdiparams").read_bytes() == b"new" * 100_000


@pytest.mark.parametrize(
    "fault",
    [
        status(416),
        another_rest,
        status(206, ETag='"one"', Content_Range="bytes 0-9/10"),
        status(206, ETag='"one"', Content_Range="nonsense"),
        status(206, ETag='"one"'),
    ],
)
def test_a_rest_that_does_not_fit_is_not_taken(server: FileServer, cache: Path, fault: Any) -> None:
    server.faults += [cut_off(100_000), fault]
    assert_whole(fetch(server, cache))
    assert server.ranges_asked == [None, "bytes=100000-", None]


def test_an_always_shorter_file(server: FileServer, cache: Path) -> None:
    server.ranges = False
    server.faults += [cut_off(len(GOOD) - 10)] * 3
    message = refused(server, cache)
    assert message.startswith(f"{NAME} cannot be downloaded: 127.0.0.1 broke the connection off (")
    assert "in attempt 3 of 3" in message
    assert len(server.requests) == 3
    assert NAME not in names(cache)


def test_more_than_announced_is_not_read(server: FileServer, cache: Path) -> None:
    server.faults.append(with_headers(Content_Length="5000"))
    assert "is damaged" in refused(server, cache)
    assert names(cache) == []


def test_a_length_that_nobody_announced(server: FileServer, cache: Path) -> None:
    server.faults.append(chunked)
    assert_whole(fetch(server, cache))


def test_a_stalled_line(server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.faults.append(stall(100_000))
    caplog.set_level(logging.INFO, "export")
    # On a busy machine a good answer may come as late: then there are more attempts.
    assert_whole(fetch(server, cache, Patience(read_s=0.5, attempts=20, backoff_s=0)))
    assert len(server.requests) > 1
    assert "nothing came from 127.0.0.1 for 0.5 s; trying again" in caplog.text


def test_no_time_for_another_attempt(server: FileServer, cache: Path) -> None:
    server.faults.append(cut_off(100_000))
    assert "in attempt 1 of 5; run again to go on" in refused(server, cache, Patience(total_s=60, backoff_s=600))


def test_the_whole_takes_too_long(server: FileServer, cache: Path) -> None:
    # The lock is free: only the download has no time.
    assert "127.0.0.1 took longer than 0 s; run again to go on" in refused(server, cache, Patience(total_s=0))
    assert_whole(fetch(server, cache))
    assert server.ranges_asked[1] is not None


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_temporary_status(server: FileServer, cache: Path, code: int) -> None:
    server.faults.append(status(code))
    assert_whole(fetch(server, cache))


def test_a_status_that_stays(server: FileServer, cache: Path) -> None:
    server.faults += [status(502)] * 3
    assert "127.0.0.1 answered with status 502, in attempt 3 of 3" in refused(server, cache)
    assert names(cache) == []


@pytest.mark.parametrize("code", [204, 206, 304, 401, 403, 404, 410])
def test_a_final_status_is_said_at_once_with_the_way_by_hand(server: FileServer, cache: Path, code: int) -> None:
    server.faults.append(status(code))
    assert refused(server, cache) == (
        f"{NAME} cannot be downloaded: 127.0.0.1 answered with status {code}; run again later, or set SOD_MODEL_MIRROR "
        f"to a mirror, or get {server.url}/{ARCHIVE} in another way and put it at {cache / ARCHIVE}, or unpack it and "
        "give MODEL_DIR=<the directory>"
    )
    assert len(server.requests) == 1
    assert names(cache) == []


def test_a_redirect(server: FileServer, cache: Path) -> None:
    server.faults.append(status(302, Location=f"/elsewhere/{ARCHIVE}"))
    assert_whole(fetch(server, cache))


def test_a_redirect_in_a_circle(server: FileServer, cache: Path) -> None:
    server.faults += [status(302, Location=f"/models/{ARCHIVE}")] * 10
    assert "127.0.0.1 cannot be spoken to (Exceeded maximum" in refused(server, cache)


def test_https_stays_https(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"Location": "http://elsewhere/x.tar"})
        return httpx.Response(200, content=GOOD)

    # A certificate for loopback is more than this is worth: the transport alone is a double.
    client = httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True)
    monkeypatch.setattr(transfer, "_client", lambda _: client)
    with pytest.raises(DownloadError, match="redirects from https to http"):
        fetch_official(NAME, cache, base_url="https://host", patience=QUICK)


def test_an_encoded_answer(server: FileServer, cache: Path) -> None:
    server.faults.append(with_headers(Content_Encoding="gzip"))
    assert "sends it encoded (gzip)" in refused(server, cache)


def test_no_http_at_all(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(10_000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DownloadError, match=r"127\.0\.0\.1 broke the connection off"):
            fetch_official(
                NAME, cache, base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", patience=Patience(attempts=1)
            )
        thread.join()


def test_nobody_there(cache: Path, free_ports: Any) -> None:
    (port,) = free_ports(1)
    with pytest.raises(DownloadError) as caught:
        fetch_official(NAME, cache, base_url=f"http://127.0.0.1:{port}", patience=Patience(backoff_s=600))
    assert str(caught.value).startswith(
        f"{NAME} cannot be downloaded: 127.0.0.1 cannot be reached (Connection refused); run again later, or "
    )
    assert f"put it at {cache / ARCHIVE}, or unpack it and give MODEL_DIR=" in str(caught.value)


def test_no_such_host(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a real one may take its time, or know every name
    with pytest.raises(DownloadError, match=r"models\.invalid cannot be reached \(Name or service not known\)"):
        fetch_official(NAME, cache, base_url="http://models.invalid", patience=QUICK)


# Proxies


def test_the_proxy_of_the_environment(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert_whole(fetch(server, cache))
        assert proxy.asked == [f"{server.url}/{ARCHIVE}"]


def test_the_proxy_is_left_out_where_the_environment_says_so(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert_whole(fetch(server, cache))


def test_a_proxy_that_is_not_there_is_blamed(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert "cannot be reached through the environment's proxy (Connection refused)" in refused(server, cache)


def test_a_proxy_setting_that_is_none(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://me:secret@h:1")
    message = refused(server, cache)
    assert "the environment's proxy or certificate settings do not work" in message
    assert "secret" not in message


# What came


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>Please log in</html>", "is not a tar archive but a web page"),
        (b"", "is empty"),
        (GOOD[:100_000], "is damaged or not a tar archive"),
        (tar([entry("../evil", b"x")]), "is not safe to unpack: '../evil' leads out of the archive"),
        (tar([entry("inference.yml", b"x")]), "holds no inference.json or inference.pdmodel, no inference.pdiparams"),
    ],
)
def test_a_bad_archive_leaves_nothing(server: FileServer, cache: Path, content: bytes, said: str) -> None:
    server.files[ARCHIVE] = content
    message = refused(server, cache)
    assert message.startswith(f"what {server.url}/{ARCHIVE} gave {said}")
    assert names(cache) == []
    server.files[ARCHIVE] = GOOD
    assert_whole(fetch(server, cache))


@pytest.mark.parametrize(
    ("faults", "said"),
    [([], "it has 0 MiB, more than the 0 allowed"), ([chunked], "it has more than the 0 MiB allowed")],
)
def test_too_large(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch, faults: list[Any], said: str
) -> None:
    monkeypatch.setattr(download, "DEFAULT_ARCHIVE_LIMITS", ArchiveLimits(total_bytes=1000))
    server.faults += faults
    assert said in refused(server, cache)
    assert names(cache) == []


def test_a_cached_archive_that_was_changed(server: FileServer, cache: Path) -> None:
    fetch(server, cache)
    changed = bytearray(GOOD)
    changed[2000] ^= 1
    (cache / ARCHIVE).write_bytes(changed)
    assert refused(server, cache) == (
        f"{cache / ARCHIVE} is not the file that was recorded in downloads.lock.json: delete it and run again, and it "
        "is downloaded anew"
    )
    (cache / ARCHIVE).unlink()
    assert_whole(fetch(server, cache))


@pytest.mark.parametrize("change", ["content", "missing", "added"])
def test_a_directory_that_was_changed(server: FileServer, cache: Path, change: str) -> None:
    directory = fetch(server, cache)
    if change == "content":
        (directory / "inference.yml").write_text("mode: changed\n")
    elif change == "missing":
        (directory / "inference.yml").unlink()
    else:
        (directory / "more").write_text("")
    assert f"{directory} was changed since it was unpacked: delete it and run again" in refused(server, cache)
    shutil.rmtree(directory)
    assert_whole(fetch(server, cache))


def test_a_directory_that_is_not_ours_is_left_alone(server: FileServer, cache: Path) -> None:
    (cache / NAME).mkdir(parents=True)
    (cache / NAME / "mine").write_text("mine")
    assert f"{cache / NAME} is something else than the download: move it away" in refused(server, cache)
    assert (cache / NAME / "mine").read_text() == "mine"
    assert names(cache) == [NAME]


def test_the_file_at_the_server_is_not_the_recorded_one(server: FileServer, cache: Path) -> None:
    fetch(server, cache)
    shutil.rmtree(cache / NAME)
    (cache / ARCHIVE).unlink()
    server.files[ARCHIVE] = model_tar(yml=b"mode: new\n")
    message = refused(server, cache)
    assert f"{server.url}/{ARCHIVE} is not the file that was recorded in {cache / 'downloads.lock.json'}" in message
    assert f"delete the entry {ARCHIVE} there, and run again" in message
    assert names(cache) == ["downloads.lock.json"]
    (cache / "downloads.lock.json").write_text("{}")
    assert (fetch(server, cache) / "inference.yml").read_bytes() == b"mode: new\n"


def test_a_record_from_elsewhere_is_binding(server: FileServer, cache: Path, tmp_path: Path) -> None:
    fetch(server, cache)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(cache / "downloads.lock.json", other)
    server.files[ARCHIVE] = model_tar(yml=b"mode: evil\n")
    assert "is not the file that was recorded" in refused(server, other)
    server.files[ARCHIVE] = GOOD
    assert_whole(fetch(server, other))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 1}', '{"a": {}}', '{"a": {"url": "", "size": "1", "sha256": "", "files": {}}}', "\xff"]
)
def test_a_damaged_record(server: FileServer, cache: Path, text: str) -> None:
    cache.mkdir()
    (cache / "downloads.lock.json").write_text(text, encoding="latin-1")
    assert "downloads.lock.json is damaged: mend it, or delete it" in refused(server, cache)


def test_a_run_that_was_killed_while_it_unpacked(server: FileServer, cache: Path) -> None:
    left = cache / f".{NAME}.unpacking"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    assert_whole(fetch(server, cache))
    assert names(cache) == ALL


# The disk


def test_a_full_disk_while_it_downloads(server: FileServer, cache: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which answers each write with: No space left on device")
    cache.mkdir()
    (cache / f"{ARCHIVE}.part").symlink_to("/dev/full")
    assert refused(server, cache) == f"{cache} cannot be written to: No space left on device"
    assert names(cache) == []


def test_a_full_disk_while_it_unpacks(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tarfile.copyfileobj", full)
    assert refused(server, cache).endswith("cannot be unpacked: No space left on device")
    assert names(cache) == []


def test_too_little_room_is_said_before_anything_is_written(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 500_000))
    assert refused(server, cache) == f"{cache} has 0.5 MiB free, and fetching and unpacking needs 0.6"
    assert names(cache) == []


# Several at once


def test_four_runs_at_once_download_once(server: FileServer, cache: Path) -> None:
    directories: list[Path] = []
    threads = [threading.Thread(target=lambda: directories.append(fetch(server, cache))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert directories == [cache / NAME] * 4
    assert_whole(directories[0])
    assert len(server.requests) == 1
    assert names(cache) == ALL


def test_another_run_that_does_not_end(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    with (cache / ".downloads.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        message = refused(server, cache, Patience(total_s=0.2))
    assert message == f"another run has used {cache} for 0.2 s"
    assert server.requests == []


# What is said


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
    fetch_official(NAME, cache, base_url=server.url, progress=not terminal.isatty(), patience=QUICK)
    assert terminal.getvalue() == ""


def test_what_is_logged(server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "export")
    fetch(server, cache)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("export")] == [
        f"downloading {server.url}/{ARCHIVE} to {cache}",
        f"{ARCHIVE}: {len(GOOD) / 2**20:.1f} MiB",
    ]

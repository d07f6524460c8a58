"""Failures of the server, the network and the proxy, from real servers on loopback."""

import logging
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from export.errors import DownloadError
from export.hub.http_download import RetryPolicy
from export.hub.official_models import fetch_official
from tests.export.hub.downloads import GOOD, QUICK, assert_complete, fetch, fetch_error, names
from tests.export.hub.file_server import FileServer, Proxy, chunked, cut_off, stall, status, with_headers
from tests.export.hub.tars import ARCHIVE, NAME


def test_a_file_that_is_always_cut_off(server: FileServer, cache: Path) -> None:
    server.ranges = False
    server.faults += [cut_off(len(GOOD) - 10)] * 3
    message = fetch_error(server, cache)
    assert message.startswith(f"{NAME} cannot be downloaded: 127.0.0.1 closed the connection (")
    assert "in attempt 3 of 3" in message
    assert len(server.requests) == 3
    assert NAME not in names(cache)


def test_bytes_beyond_the_announced_length_are_not_read(server: FileServer, cache: Path) -> None:
    server.faults.append(with_headers(Content_Length="5000"))
    assert "is damaged" in fetch_error(server, cache)
    assert names(cache) == []


def test_a_chunked_response(server: FileServer, cache: Path) -> None:
    server.faults.append(chunked)
    assert_complete(fetch(server, cache))


def test_a_stalled_connection(server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.faults.append(stall(100_000))
    caplog.set_level(logging.INFO, "export")
    # On a busy machine even a good response may be this late; the attempts leave room for that.
    assert_complete(fetch(server, cache, RetryPolicy(read_s=0.5, attempts=20, backoff_s=0)))
    assert len(server.requests) > 1
    assert "127.0.0.1 sent nothing for 0.5 s; trying again" in caplog.text


def test_no_time_for_another_attempt(server: FileServer, cache: Path) -> None:
    server.faults.append(cut_off(100_000))
    assert "in attempt 1 of 5; run again to resume" in fetch_error(
        server, cache, RetryPolicy(total_s=60, backoff_s=600)
    )


def test_the_whole_takes_too_long(server: FileServer, cache: Path) -> None:
    # The lock is free at once; only the download exceeds its time.
    assert "127.0.0.1 took longer than 0 s; run again to resume" in fetch_error(server, cache, RetryPolicy(total_s=0))
    assert_complete(fetch(server, cache))
    assert server.requested_ranges[1] is not None


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_temporary_status(server: FileServer, cache: Path, code: int) -> None:
    server.faults.append(status(code))
    assert_complete(fetch(server, cache))


def test_a_temporary_status_that_persists(server: FileServer, cache: Path) -> None:
    server.faults += [status(502)] * 3
    assert "127.0.0.1 responded with status 502, in attempt 3 of 3" in fetch_error(server, cache)
    assert names(cache) == []


@pytest.mark.parametrize("code", [204, 206, 304, 401, 403, 404, 410])
def test_a_permanent_status_fails_at_once_and_tells_how_to_download_by_hand(
    server: FileServer, cache: Path, code: int
) -> None:
    server.faults.append(status(code))
    assert fetch_error(server, cache) == (
        f"{NAME} cannot be downloaded: 127.0.0.1 responded with status {code}; run again later, or set "
        f"SOD_MODEL_MIRROR to a mirror, or download {server.url}/{ARCHIVE} in another way and put it at "
        f"{cache / ARCHIVE}, or unpack it and give MODEL_DIR=<the directory>"
    )
    assert len(server.requests) == 1
    assert names(cache) == []


def test_a_redirect(server: FileServer, cache: Path) -> None:
    server.faults.append(status(302, Location=f"/elsewhere/{ARCHIVE}"))
    assert_complete(fetch(server, cache))


def test_a_redirect_loop(server: FileServer, cache: Path) -> None:
    server.faults += [status(302, Location=f"/models/{ARCHIVE}")] * 10
    assert "the HTTP exchange with 127.0.0.1 failed (Exceeded maximum" in fetch_error(server, cache)


def test_https_never_redirects_to_http(
    server: FileServer, cache: Path, certificate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    with FileServer({ARCHIVE: GOOD}, certificate=(certificate.certificate, certificate.key)) as secure:
        assert secure.url.startswith("https://")
        secure.faults.append(status(302, Location=f"{server.url}/{ARCHIVE}"))
        assert "127.0.0.1 redirects from https to http" in fetch_error(secure, cache)
        assert names(cache) == []
        assert_complete(fetch(secure, cache))


def test_an_encoded_response(server: FileServer, cache: Path) -> None:
    server.faults.append(with_headers(Content_Encoding="gzip"))
    assert "sends the file with the content encoding gzip" in fetch_error(server, cache)


def test_a_server_that_does_not_speak_http(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(10_000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DownloadError, match=r"127\.0\.0\.1 closed the connection"):
            fetch_official(
                NAME, cache, base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", retry=RetryPolicy(attempts=1)
            )
        thread.join()


def test_nothing_listens(cache: Path, free_ports: Any) -> None:
    (port,) = free_ports(1)
    with pytest.raises(DownloadError) as caught:
        fetch_official(NAME, cache, base_url=f"http://127.0.0.1:{port}", retry=RetryPolicy(backoff_s=600))
    assert str(caught.value).startswith(
        f"{NAME} cannot be downloaded: 127.0.0.1 cannot be reached (Connection refused); run again later, or "
    )
    assert f"put it at {cache / ARCHIVE}, or unpack it and give MODEL_DIR=" in str(caught.value)


def test_no_such_host(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a real resolver may be slow, or resolve every name
    with pytest.raises(DownloadError, match=r"models\.invalid cannot be reached \(Name or service not known\)"):
        fetch_official(NAME, cache, base_url="http://models.invalid", retry=QUICK)


def test_the_proxy_of_the_environment(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert_complete(fetch(server, cache))
        assert proxy.requested == [f"{server.url}/{ARCHIVE}"]


def test_no_proxy_is_respected(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert_complete(fetch(server, cache))


def test_an_unreachable_proxy_is_named(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert "cannot be reached through the environment's proxy (Connection refused)" in fetch_error(server, cache)


def test_an_invalid_proxy_setting(server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://me:secret@h:1")
    message = fetch_error(server, cache)
    assert "the environment's proxy or certificate settings do not work" in message
    assert "secret" not in message

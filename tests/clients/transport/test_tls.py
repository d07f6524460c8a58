"""Certificates of https:// servers: which authorities are trusted, and what is said if one is not."""

import http.server
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sod_client import ConnectionFailedError, InvalidConfigError, create_pipeline
from sod_client.cli import main

from tests.clients.conftest import SUCCESS, jpeg


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate and the key of 127.0.0.1, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not on this machine")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out ca.pem -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1"], cwd=folder, check=True, capture_output=True
    )
    return folder


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            reply = json.dumps(SUCCESS).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_unknown_authority_is_refused_with_what_to_do(url: str) -> None:
    with (
        create_pipeline(url=url) as pipeline,
        pytest.raises(ConnectionFailedError, match=r"certificate cannot be verified.*--ca, ca_file= or SOD_CA_FILE"),
    ):
        next(pipeline.predict(jpeg()))


def test_an_authority_is_trusted_by_argument_and_environment(
    url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = certificate / "ca.pem"
    for options in ({"ca_file": authority}, {"ca_file": str(authority)}, {"insecure": True}):
        with create_pipeline(url=url, **options) as pipeline:  # type: ignore[arg-type]
            assert len(list(pipeline.predict(jpeg()))) == 1
    for variable in ("SOD_CA_FILE", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, str(authority))
        with create_pipeline(url=url) as pipeline:
            assert len(list(pipeline.predict(jpeg()))) == 1
        monkeypatch.delenv(variable)


def test_the_command_trusts_it_too(url: str, certificate: Path, street: Path) -> None:
    assert main(["predict", str(street), "--url", url, "--retries", "0"]) == 3
    assert main(["predict", str(street), "--url", url, "--ca", str(certificate / "ca.pem")]) == 0
    assert main(["predict", str(street), "--url", url, "--insecure"]) == 0


def test_an_invalid_file_or_address(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(InvalidConfigError, match=r"ca_file '.*no\.pem' contains no certificate in PEM format"):
        create_pipeline(url=url, ca_file=tmp_path / "no.pem")
    monkeypatch.setenv("SOD_CA_FILE", "missing.pem")
    with pytest.raises(InvalidConfigError, match=r"SOD_CA_FILE 'missing\.pem' cannot be read: No such file"):
        create_pipeline(url=url)
    with pytest.raises(InvalidConfigError, match="ca_file and insecure need an https:// address, not 'http://"):
        create_pipeline(url="http://127.0.0.1:1", insecure=True)

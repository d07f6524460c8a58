"""Certificates of servers: which authorities are trusted, and what is said if one is not."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sod_client import AsyncPipeline, ConnectionFailedError, InvalidConfigError, create_pipeline
from sod_client.cli import main

from tests.clients.conftest import FakeServer, jpeg
from tests.clients.tls_terminator import make_certificate, tls_terminator
from tests.gateway.conftest import FakeTriton


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def url(certificate: Path, server: FakeServer) -> Iterator[str]:
    """A gateway behind TLS."""
    with tls_terminator(certificate, server.port) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.fixture
async def grpc_url(certificate: Path) -> AsyncIterator[str]:
    """Triton's gRPC port behind TLS."""
    triton = FakeTriton()
    await triton.start()
    with tls_terminator(certificate, triton.port, "h2") as port:
        yield f"grpcs://127.0.0.1:{port}"
    await triton.stop()


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
    with pytest.raises(
        InvalidConfigError, match="ca_file and insecure need an address with TLS, such as https://, not 'http://"
    ):
        create_pipeline(url="http://127.0.0.1:1", insecure=True)
    for scheme in ("grpc", "triton+http"):
        with pytest.raises(InvalidConfigError, match=re.escape(f"such as https://, not '{scheme}://")):
            create_pipeline(url=f"{scheme}://127.0.0.1:1", ca_file="ca.pem")
    monkeypatch.setenv("SOD_CA_FILE", str(tmp_path / "no.pem"))
    for scheme in ("grpcs", "triton+https"):
        with pytest.raises(InvalidConfigError, match=r"SOD_CA_FILE '.*no\.pem' contains no certificate"):
            create_pipeline(url=f"{scheme}://127.0.0.1:1")


async def found(url: str, **options: Any) -> int:
    async with AsyncPipeline(url=url, retries=0, **options) as pipeline:
        return sum([len(result.boxes) async for result in pipeline.predict(jpeg())])


async def test_an_unknown_authority_over_grpc(grpc_url: str) -> None:
    with pytest.raises(ConnectionFailedError, match=r"certificate cannot be verified.*--ca, ca_file= or SOD_CA_FILE"):
        await found(grpc_url)


async def test_an_authority_over_grpc(grpc_url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = certificate / "ca.pem"
    assert await found(grpc_url, ca_file=authority) == 3
    for variable in ("SOD_CA_FILE", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, str(authority))
        assert await found(grpc_url) == 3
        monkeypatch.delenv(variable)


@pytest.mark.parametrize("names", ["IP:127.0.0.1", "DNS:triton.example.com", "DNS:*.example.com"])
async def test_grpc_without_verification(names: str, tmp_path: Path) -> None:
    triton = FakeTriton()
    await triton.start()
    certificate = make_certificate(tmp_path, names=names)
    with tls_terminator(certificate, triton.port, "h2") as port:
        if "DNS" in names:
            with pytest.raises(ConnectionFailedError, match="certificate cannot be verified"):
                await found(f"grpcs://127.0.0.1:{port}", ca_file=certificate / "ca.pem")
        assert await found(f"grpcs://127.0.0.1:{port}", insecure=True) == 3
    await triton.stop()
    with pytest.raises(ConnectionFailedError, match="cannot reach grpcs://"):
        await found(f"grpcs://127.0.0.1:{port}", insecure=True)


def test_the_command_says_one_sentence_over_grpc(certificate: Path, server: FakeServer) -> None:
    with tls_terminator(certificate, server.port, "h2") as port:
        url = f"grpcs://127.0.0.1:{port}"
        command = [sys.executable, "-m", "sod_client", "models", "--url", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"sod: {url}: the server's certificate cannot be verified (")
    assert done.stderr.count("\n") == 1


async def test_grpc_without_verification_needs_tls_and_a_valid_certificate(tmp_path: Path) -> None:
    triton = FakeTriton()
    await triton.start()
    with pytest.raises(ConnectionFailedError, match="cannot reach grpcs://"):
        await found(f"grpcs://127.0.0.1:{triton.port}", insecure=True, timeout=5)
    with (
        tls_terminator(make_certificate(tmp_path, days=0), triton.port, "h2") as port,
        pytest.raises(ConnectionFailedError, match=r"is not valid, and gRPC cannot skip this check: .*expired"),
    ):
        await found(f"grpcs://127.0.0.1:{port}", insecure=True)
    await triton.stop()

"""TLS: unusable files are one sentence and exit status 2."""

import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.security.tls import TlsError, TlsFiles, server_context
from gateway.settings import Settings
from tests.conftest import Certificate
from tests.gateway.logged_process import logging_to, refused

PATH = "/small-object-detection"


def test_a_gateway_serves_https(certificate: Certificate, tmp_path: Path) -> None:
    files = ("--tls-certificate", str(certificate.certificate), "--tls-key", str(certificate.encrypted_key))
    log = tmp_path / "log"
    with logging_to(log, *files, SOD_TLS_KEY_PASSWORD=certificate.password) as (url, process):
        assert url.startswith("https://127.0.0.1:")
        with httpx.Client(base_url=url, verify=certificate.context()) as client:
            answer = client.get("/health")
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            assert "server" not in answer.headers
            assert client.get("/nothing").headers["strict-transport-security"]
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/health")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(httpx.ConnectError, match=r"(?i)protocol|version|alert"), httpx.Client(verify=old) as client:
            client.get(f"{url}/health")
        process.terminate()
        assert process.wait(60) == 0
    told = log.read_text()
    assert certificate.password not in told
    assert "Traceback" not in told


def test_tls_1_2_at_least(certificate: Certificate) -> None:
    context = server_context(TlsFiles(certificate.certificate, certificate.key))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE  # of clients


def test_certificate_and_key_in_one_file(certificate: Certificate, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.key.read_bytes() + certificate.certificate.read_bytes())
    server_context(TlsFiles(both, both))


def test_a_weak_certificate_is_rejected(tmp_path: Path) -> None:
    weak = tmp_path / "weak.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("certificates are made by the command openssl, which is not here")
    command = [openssl, "req", "-x509", "-newkey", "rsa:512", "-nodes", "-subj", "/CN=weak", "-keyout", weak, "-out"]
    subprocess.run([*command, tmp_path / "cert.pem"], check=True, capture_output=True)
    with pytest.raises(TlsError, match=r"cert.pem is too weak for OpenSSL \(EE_KEY_TOO_SMALL\)"):
        server_context(TlsFiles(tmp_path / "cert.pem", weak))


def test_unusable_files_are_rejected(certificate: Certificate, make_certificate: Any, tmp_path: Path) -> None:
    other = make_certificate()
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"-----BEGIN CERTIFICATE-----\nnot base64, but s3cret\n-----END CERTIFICATE-----\n")
    empty = tmp_path / "empty.pem"
    empty.touch()
    good, key = certificate.certificate, certificate.key
    for files, told in (
        ((tmp_path / "none.pem", key), "certificate .*none.pem cannot be read: No such file"),
        ((good, tmp_path / "none.pem"), "key .*none.pem cannot be read: No such file"),
        ((good, tmp_path), "key .* cannot be read: Is a directory"),
        ((garbage, key), "certificate .*garbage.pem has no certificate in PEM form"),
        ((empty, key), "certificate .*empty.pem has no certificate in PEM form"),
        ((key, key), "certificate .*key.pem has no certificate in PEM form"),
        ((good, garbage), "key .*garbage.pem has no private key in PEM form"),
        ((good, good), "key .*cert.pem has no private key in PEM form"),
        ((good, other.key), "key .*key.pem is not that of the certificate .*cert.pem"),
        ((good, certificate.encrypted_key), "is encrypted with a password: set SOD_TLS_KEY_PASSWORD"),
        ((good, certificate.encrypted_key, "wr0ng"), "is encrypted with another password than SOD_TLS_KEY_PASSWORD"),
        ((good, certificate.encrypted_key, "x" * 5000), "is encrypted with another password than SOD_TLS_KEY_PASSWORD"),
        ((good, other.encrypted_key, other.password), "is not that of the certificate"),
    ):
        with pytest.raises(TlsError, match=told) as raised:
            server_context(TlsFiles(*files))  # type: ignore[arg-type]
        assert "s3cret" not in str(raised.value)
        assert "wr0ng" not in str(raised.value)


def test_an_unreadable_file_is_one_sentence_and_status_2(certificate: Certificate, make_certificate: Any) -> None:
    told = refused("--tls-certificate", str(certificate.certificate), "--tls-key", str(make_certificate().key))
    assert told.count("\n") == 1
    assert "is not that of the certificate" in told
    # Nobody is asked for a password at the terminal.
    told = refused("--tls-certificate", str(certificate.certificate), "--tls-key", str(certificate.encrypted_key))
    assert told.count("\n") == 1
    assert "set SOD_TLS_KEY_PASSWORD" in told


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key"])
def test_certificate_and_key_are_required_together(name: str, certificate: Certificate) -> None:
    with pytest.raises(ValueError, match="set both, or neither"):
        Settings(**{name: certificate.certificate})
    told = refused(f"--{name.replace('_', '-')}", str(certificate.certificate))
    assert told == "SOD_TLS_KEY (--tls-key): TLS needs the certificate and its key: set both, or neither\n"


def test_a_new_certificate_is_taken_without_a_restart(
    make_certificate: Callable[[], Certificate], tmp_path: Path
) -> None:
    old, new = make_certificate(), make_certificate()
    certificate, key, log = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "log"

    def install(made: Certificate) -> None:
        for source, target in ((made.key, key), (made.certificate, certificate)):
            shutil.copy(source, tmp_path / "new")
            (tmp_path / "new").replace(target)

    def said(text: str) -> None:
        until = time.monotonic() + 30
        while text not in log.read_text():
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)

    install(old)
    with logging_to(log, "--tls-certificate", str(certificate), "--tls-key", str(key)) as (url, process):
        limits = httpx.Limits(keepalive_expiry=60)
        with httpx.Client(base_url=url, verify=old.context(), limits=limits) as kept:
            assert kept.get("/health").status_code == 200
            install(new)
            said("the certificate was read again")
            assert kept.get("/health").status_code == 200, "an open connection goes on"
        with httpx.Client(base_url=url, verify=new.context()) as client:
            assert client.get("/health").status_code == 200
        with pytest.raises(httpx.ConnectError, match="self-signed"), httpx.Client(verify=old.context()) as client:
            client.get(f"{url}/health")
        shutil.copy(old.key, key)  # not that of the certificate
        said("the earlier stays in use: the TLS key")
        with httpx.Client(base_url=url, verify=new.context()) as client:
            assert client.get("/health").status_code == 200
        process.terminate()
        assert process.wait(60) == 0
    assert "Traceback" not in log.read_text()

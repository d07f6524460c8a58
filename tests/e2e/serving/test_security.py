"""The network sockets of the whole server, and its operation with TLS and API keys."""

import base64
import ipaddress
import re
import socket
from pathlib import Path

import psutil
import pytest

from server.launching import StartError
from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, serve
from tests.gateway.security.test_api_keys import entry

SERVICES = ("http", "grpc", "metrics")
KEY = "s3cret-key"


@pytest.fixture(scope="module")
def settings(certificate):
    return {
        "SOD_TLS_CERTIFICATE": str(certificate.certificate),
        "SOD_TLS_KEY": str(certificate.encrypted_key),
        "SOD_TLS_KEY_PASSWORD": certificate.password,
        "SOD_API_KEYS": entry("field", KEY),
        "SOD_RATE_LIMIT": "2/hour",
    }


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory, free_ports, certificate, settings):
    """A server with TLS, API keys and a rate limit; its gateway listens on loopback only."""
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with serve(REPOSITORY, log, free_ports(4), "--model", DEMO, tls=certificate.context(), **settings) as server:
        yield server


def listening(processes):
    """(address, port) of every listening socket of the processes."""
    found = set()
    for process in processes:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                address = ipaddress.ip_address(connection.laddr.ip)
                found.add((str(getattr(address, "ipv4_mapped", None) or address), connection.laddr.port))
    return found


def triton_ports(server):
    line = server.child("bin/tritonserver").cmdline()
    return {
        service: int(word.partition("=")[2]) for service in SERVICES for word in line if f"--{service}-port=" in word
    }


def test_triton_listens_on_loopback_only(guarded_server):
    ports = triton_ports(guarded_server)
    assert set(ports) == set(SERVICES)
    triton = guarded_server.child("bin/tritonserver")
    assert listening([triton, *triton.children(recursive=True)]) == {("127.0.0.1", port) for port in ports.values()}
    # The only other listening socket below the launcher is the gateway's, at --host.
    gateway = ("127.0.0.1", int(guarded_server.url.rsplit(":", 1)[1]))
    assert listening(guarded_server.children()) == {("127.0.0.1", port) for port in ports.values()} | {gateway}


@pytest.mark.parametrize("service", SERVICES)
def test_triton_is_unreachable_from_other_addresses(guarded_server, service):
    port = triton_ports(guarded_server)[service]
    with socket.create_connection(("127.0.0.1", port), timeout=60):
        pass
    addresses = [one for found in psutil.net_if_addrs().values() for one in found]
    others = [one.address for one in addresses if one.family == socket.AF_INET and not one.address.startswith("127.")]
    if not others:
        pytest.skip("this machine has only the loopback address")
    for address in others:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), timeout=60)


def test_triton_receives_none_of_the_gateway_s_settings(guarded_server):
    triton = guarded_server.child("bin/tritonserver")
    for process in (triton, *triton.children(recursive=True)):
        assert not [name for name in process.environ() if name.startswith("SOD_")]


def test_https_with_a_key_and_a_limit(guarded_server, image, settings):
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"image": base64.b64encode(image).decode(), "visualize": False}
    assert guarded_server.post(image).status_code == 401
    answers = [guarded_server.http.post("/small-object-detection", json=body, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert guarded_server.http.get("/models", headers=headers).json()["result"]["models"][0]["name"] == DEMO
    assert guarded_server.http.get("/health/ready").status_code == 200
    output = guarded_server.log.read_text()
    assert f"the API: {guarded_server.url}/small-object-detection" in output
    assert re.search(r'curl -sk https://127\.0\.0\.1:\d+/small-object-detection -H "X-API-Key: \$KEY"', output)
    assert "without API keys" not in output
    for secret in (KEY, settings["SOD_TLS_KEY_PASSWORD"], settings["SOD_API_KEYS"].partition(":")[2]):
        assert secret not in output


def test_a_missing_tls_key_ends_the_launcher_with_the_reason(tmp_path, free_ports, certificate):
    missing = tmp_path / "none.pem"
    files = {"SOD_TLS_CERTIFICATE": str(certificate.certificate), "SOD_TLS_KEY": str(missing)}
    with pytest.raises(StartError, match="the server ended") as ended:  # noqa: SIM117
        with serve(REPOSITORY, tmp_path / "serve.log", free_ports(4), "--model", DEMO, **files):
            pytest.fail("it started")
    output = str(ended.value)
    assert f"the TLS key {missing} cannot be read: No such file or directory" in output
    assert "triton-sod: the gateway ended with exit code 2 while starting; its messages are above" in output
    assert "Traceback" not in Path(tmp_path / "serve.log").read_text()

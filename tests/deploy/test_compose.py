"""Compose's split form: gateway and Triton in containers of their own."""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import yaml

from tests.conftest import free_ports
from tests.deploy.podman import ROOT, Podman, wait_until_ready

PROJECT = "triton-sod-compose-test"
FILE = ROOT / "deploy/compose.yaml"


def compose(podman: Podman, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "podman_compose", "-p", PROJECT, "-f", str(FILE), "--profile", "split", *arguments]
    return subprocess.run(
        command, check=False, env={**podman.environ, **environ}, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def url(podman: Podman, cpu_image: str) -> Iterator[str]:
    pytest.importorskip("podman_compose", reason="podman-compose is in the lock dev")
    (port,) = free_ports(1)
    environ = {"TAG": cpu_image.partition(":")[2], "PORT": str(port), "SOD_RATE_LIMIT": "100/second"}
    done = compose(podman, environ, "up", "--detach", "gateway")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, podman, f"{PROJECT}_gateway_1")
        yield address
    finally:
        compose(podman, environ, "down", "--volumes", "--timeout", "0")


def test_the_split_form_answers_and_triton_s_ports_are_not_published(podman, url):
    with (ROOT / "docs/street.jpg").open("rb") as image:
        response = httpx.post(f"{url}/small-object-detection", files={"image": image}, timeout=60)
    assert response.status_code == 200, response.text
    assert response.json()["result"]["detectedObjects"]
    assert response.headers["RateLimit-Limit"] == "100"
    names = podman("ps", "--format", "{{.Names}}").stdout.split()
    assert sorted(names) == [f"{PROJECT}_gateway_1", f"{PROJECT}_triton_1"]
    triton = podman.inspect(f"{PROJECT}_triton_1")
    assert not any((triton["HostConfig"]["PortBindings"] or {}).values())
    assert triton["HostConfig"]["ReadonlyRootfs"]
    assert list(triton["NetworkSettings"]["Networks"]) == [f"{PROJECT}_inference"]


def test_every_service_of_ours_is_confined():
    services = yaml.safe_load(FILE.read_text("utf-8"))["services"]
    for name in ("triton-sod", "triton-sod-gpu", "triton", "gateway"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
        assert services[name]["stop_grace_period"] == "50s"
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith(("127.0.0.1:", "${LISTEN:-127.0.0.1}:")) for port in published)
    assert "ports" not in services["triton"]
    assert services["triton"]["networks"] == ["inference"]

"""The image for CPUs, run as a user would who trusts it little."""

import base64
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sod import __version__
from tests.conftest import free_ports
from tests.deploy.podman import ROOT, Podman, wait_until_ready

NAME = "triton-sod-test"
USER = 54321
# podman's own timers for health checks need systemd, which a sandbox does not run.
CONFINED = [
    "--read-only", "--tmpfs", "/tmp:noexec,size=64m", "--shm-size", "256m", "--cap-drop", "all",
    "--security-opt", "no-new-privileges", "--user", f"{USER}:{USER}", "--no-healthcheck",
]  # fmt: skip
LARGEST_MB = 900
TRITON = "/opt/sod/lib/python3.11/site-packages/pytriton/tritonserver/bin/tritonserver"


@dataclass(frozen=True)
class Container:
    url: str
    port: int


@pytest.fixture(scope="module")
def container(podman: Podman, cpu_image: str) -> Iterator[Container]:
    (port,) = free_ports(1)
    podman("run", "--detach", "--name", NAME, *CONFINED, "--publish", f"127.0.0.1:{port}:8080", cpu_image)
    url = f"http://127.0.0.1:{port}"
    wait_until_ready(url, podman, NAME)
    yield Container(url, port)
    podman("rm", "--force", "--time", "0", NAME)


def processes(podman: Podman, command: str) -> list[str]:
    """Numbers, inside the container, of the processes whose command begins so."""
    lines = podman("top", NAME, "pid", "args").stdout.splitlines()[1:]
    return [line.split()[0] for line in lines if line.split(None, 1)[1].startswith(command)]


def test_the_command_of_the_readme_is_answered(container):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (command,) = [block for block in blocks if "curl -s localhost:8080" in block]
    command = command.replace("localhost:8080", f"127.0.0.1:{container.port}")
    done = subprocess.run(["bash", "-c", command], check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert '"errorMsg":"Success"' in done.stdout, done.stdout[:500] + done.stderr
    assert '"categoryName":"pedestrian"' in done.stdout


@pytest.mark.usefixtures("container")
def test_it_runs_as_the_user_that_was_given_and_is_healthy(podman, cpu_image):
    users = set(podman("top", NAME, "user").stdout.split()[1:])
    assert users == {str(USER)}
    check = podman.inspect(cpu_image)["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    podman("exec", NAME, *check[1:])


def test_a_killed_triton_is_started_again_and_its_orphans_are_reaped(podman, container):
    (before,) = processes(podman, TRITON)
    podman("exec", NAME, "python", "-c", f"import os; os.kill({before}, 9)")
    end = time.monotonic() + 60
    while not (after := processes(podman, TRITON)) or after == [before]:
        assert time.monotonic() < end, podman.logs(NAME)
        time.sleep(0.2)
    wait_until_detected(container.url)
    assert "Z" not in podman("top", NAME, "state").stdout.split()[1:]
    assert podman.inspect(NAME)["State"]["Running"]


def test_a_stop_answers_what_is_under_way_and_leaves_nothing(podman, container):
    image = base64.b64encode((ROOT / "docs/street.jpg").read_bytes()).decode()
    responses: list[int] = []

    def ask() -> None:
        body = {"images": [image] * 8, "visualize": False}
        response = httpx.post(f"{container.url}/small-object-detection/batch", json=body, timeout=60)
        responses.append(sum(entry["errorCode"] == 0 for entry in response.json()["result"]["results"]))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for_request(container.url)
    pids = podman.processes(NAME)
    podman("stop", "--time", "46", NAME)
    asking.join()
    assert responses == [8]
    assert podman.inspect(NAME)["State"]["ExitCode"] == 0, podman.logs(NAME)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert podman("volume", "ls", "--quiet").stdout == ""


def wait_until_detected(url: str) -> None:
    end = time.monotonic() + 60
    image = (ROOT / "docs/street.jpg").read_bytes()
    while httpx.post(f"{url}/small-object-detection", files={"image": image}, timeout=60).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.5)


def wait_for_request(url: str) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = re.search(r"^sod_slots_in_use (\d+)", httpx.get(f"{url}/metrics", timeout=20).text, re.MULTILINE)
        if found and int(found[1]):
            return
    raise AssertionError("the request was never in progress")


def test_the_image_holds_what_serves_and_says_what_it_is(podman, cpu_image):
    about = podman.inspect(cpu_image)
    labels = about["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert about["Config"]["User"] == "10001:10001"
    assert about["Size"] / 1e6 < LARGEST_MB
    listed = podman("run", "--rm", "--entrypoint", "ls", cpu_image, "-1", "/app", "/models", "/opt/sod/bin",
                    "/opt/sod/lib/python3.11/site-packages").stdout.split()  # fmt: skip
    assert {"gateway", "server", "sod", "NOTICE", "PP-YOLOE_plus_SOD-demo", "openvino"} <= set(listed)
    unwanted = {"export", "finetune", "benchmarks", "tests", "clients", "pip", "torch", "paddle", "matplotlib"}
    assert unwanted & set(listed) == set()


def test_without_docker_and_podman_the_build_says_so(tmp_path):
    environ = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "ENGINE": "no-such-engine"}
    done = subprocess.run(["deploy/image", "cpu"], check=False, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "neither docker nor podman runs here: apt-get install podman, or start docker's service\n"

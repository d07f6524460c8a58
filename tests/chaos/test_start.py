"""Where and how the server starts: paths, mounts, readers of its output. Each test has a server of its own."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest

from tests.chaos.faults import DEMO
from tests.chaos.measure import stopped_cleanly
from tests.e2e.started_server import REPOSITORY, process_environment, serve

ROOT = Path(__file__).parents[2]
MIB = 2**20


def test_paths_with_a_space_and_letters_beyond_ascii(tmp_path, free_ports, street, monkeypatch):
    """The checkout, the repository and TMPDIR, in the C locale."""
    checkout = tmp_path / "my chéckout 检出"
    for name in ("sod", "server", "gateway"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    repository = shutil.copytree(REPOSITORY, checkout / "model_repository")
    with (checkout / "sod" / "triton" / "requests.py").open("a") as module:
        module.write('\nprint("a stage of the copy", flush=True)\n')
    temporary = checkout / "tmp"
    temporary.mkdir()
    monkeypatch.chdir(checkout)
    settings = {"PYTHONPATH": str(checkout), "TMPDIR": str(temporary), "LC_ALL": "C", "LANG": "C"}
    with serve(repository, tmp_path / "serve.log", free_ports(4), "--model", DEMO, **settings) as server:
        assert server.post(street).status_code == 200
        assert "a stage of the copy" in server.log.read_text(), "the stages run the code of the launcher"
        assert stopped_cleanly(server) == []
    assert list(temporary.iterdir()) == []


@pytest.fixture
def hang_up_is_not_ignored():
    """Children inherit a SIGHUP that is ignored, as under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_is_not_ignored")
def test_a_hang_up_drains(tmp_path, free_ports):
    with serve(REPOSITORY, tmp_path / "serve.log", free_ports(4), "--model", DEMO) as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(30) == 0
        assert "SIGHUP: stopping" in server.log.read_text()


def test_with_json_logs_every_line_is_json(tmp_path, free_ports, two_models):
    (two_models / "mine_detector/1/model.onnx").write_bytes(b"not an onnx file")
    port, http, grpc, metrics = free_ports(4)
    command = [sys.executable, "-m", "server", "--model-repository", str(two_models), "--verbose", f"--port={port}"]
    command += [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=process_environment(SOD_LOG_FORMAT="json")
        )
    try:
        for _ in range(600):
            lines = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
            if ready := [line for line in lines if line["message"] == "ready" and "url" in line]:
                break
            assert process.poll() is None, log.read_text()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
        assert ready[0]["served"] == [DEMO]
        assert list(ready[0]["notServed"]) == ["mine"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["logger"] for line in lines} >= {"server", "triton"}
    assert all(set(line) >= {"time", "level", "logger", "message"} for line in lines)


def in_own_mounts(mounts: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the launcher, or another command of ours, where these mounts hold; needs the right to mount."""
    command = ["unshare", "--mount", "sh", "-ec", f'{mounts}; exec "$@"', "sh", sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=180, cwd=ROOT)


@pytest.fixture(scope="session")
def may_mount() -> None:
    """Skip where nothing can be mounted."""
    if os.geteuid() == 0 and shutil.which("unshare"):
        mount = ["unshare", "--mount", "mount", "-t", "tmpfs", "x", "/mnt"]
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            return
    pytest.skip("mounting needs root and CAP_SYS_ADMIN")


def start_once(mounts: str, ports: list[int]) -> str:
    """Start the launcher under these mounts, ask it for one image, stop it; returns its log."""
    port, http, grpc, metrics = map(str, ports)
    options = ["--port", port, "--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics]
    done = in_own_mounts(mounts, "tests/chaos/ask_once.py", port, "--model", DEMO, *options)
    return f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "mounts",
    [
        "mount -t tmpfs -o noexec x /tmp",
        "mount -t tmpfs x /tmp; mount -o remount,ro /tmp",
        "mount -t tmpfs -o size=1m x /tmp; head -c 1M /dev/zero >/tmp/full 2>/dev/null || true",
    ],
    ids=["noexec", "read-only", "full"],
)
@pytest.mark.usefixtures("may_mount")
def test_tmp_that_will_not_do(mounts, free_ports, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    told = start_once(mounts, free_ports(4))
    assert told.startswith("exit code 0\n"), told
    assert "\nfound " in told


@pytest.mark.usefixtures("may_mount")
def test_shared_memory_of_64_mib_starts_with_less(free_ports):
    told = start_once("mount -t tmpfs -o size=64m x /dev/shm", free_ports(4))
    assert "\nfound " in told, told
    assert "/dev/shm has 64 MiB free: each of 3 stages starts with 18 MiB of shared memory" in told


@pytest.mark.usefixtures("may_mount")
def test_an_image_too_large_for_shared_memory_is_413_and_harms_no_other(free_ports, tmp_path, monkeypatch):
    image = cv2.imencode(".bmp", np.zeros((3000, 3500, 3), np.uint8))[1].tobytes()  # 31.5 MB
    (tmp_path / "large.bmp").write_bytes(image)
    monkeypatch.setenv("LARGE_IMAGE", str(tmp_path / "large.bmp"))
    told = start_once("mount -t tmpfs -o size=64m x /dev/shm", free_ports(4))
    assert f"\nlarge image: 413 The image has {len(image):,} bytes; the inference server's shared memory has" in told, (
        told
    )
    assert "enlarge /dev/shm there (docker run --shm-size)" in told
    assert "\nfound " in told


@pytest.mark.usefixtures("may_mount")
def test_shared_memory_of_16_mib_is_one_sentence_and_a_problem_of_the_doctor(free_ports):
    mounts = "mount -t tmpfs -o size=16m x /dev/shm"
    told = start_once(mounts, free_ports(4))
    assert told.startswith("exit code 1\n")
    assert "triton-sod: /dev/shm has 16 MiB free, and the models need 27 MiB (3 stages): enlarge it (docker run" in told
    doctor = in_own_mounts(mounts, "-m", "server.doctor", "--json", "--ports", *map(str, free_ports(2)))
    assert doctor.returncode == 1
    found = next(finding for finding in json.loads(doctor.stdout) if finding["subject"] == "/dev/shm")
    assert found["level"] == "problem"
    assert "docker run --shm-size=1g" in found["remedy"]


def test_the_doctor_knows_the_server_that_runs(tmp_path, free_ports):
    ports = free_ports(4)
    with serve(REPOSITORY, tmp_path / "serve.log", ports, "--model", DEMO) as server:
        command = [sys.executable, "-m", "server.doctor", "--ports", *map(str, ports)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout
        assert f"triton-sod at {server.url} (process {server.process.pid})" in done.stdout
        assert "the server already runs" in done.stdout
        assert "in use by the triton-sod that runs" in done.stdout


def test_a_terminal_that_closes_does_not_stop_the_answers(free_ports, street):
    """Nobody reads the launcher's output any more, and Triton dies: it is started again all the same."""
    port, http, grpc, metrics = free_ports(4)
    command = [sys.executable, "-m", "server", "--model", DEMO, "--verbose", f"--port={port}"]
    command += [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        while b"Ctrl-C stops it" not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        server = next(p for p in psutil.Process(process.pid).children() if "tritonserver" in p.name())
        server.kill()
        body = {"image": base64.b64encode(street).decode(), "visualize": False}
        url = f"http://127.0.0.1:{port}/small-object-detection"
        statuses = []
        for _ in range(200):
            statuses.append(httpx.post(url, json=body, timeout=60).status_code)
            if 503 in statuses and statuses[-1] == 200:
                break
            assert process.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
        assert statuses[-1] == 200
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

"""deploy/in-image and the Makefile's choice of it, with a `docker` and an `nvidia-smi` that only record their calls."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sod import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture
def told(tmp_path, monkeypatch) -> Path:
    """A file with a line for each call of docker; `nvidia-smi` says that there is a GPU."""
    calls = tmp_path / "calls"
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for name, body in {
        "docker": f'printf "%s\\n" "$*" >> {calls}; [ "$1" != image ] || exit "${{IMAGE_ABSENT:-0}}"',
        "nvidia-smi": "echo GPU 0",
    }.items():
        (bin_dir / name).write_text(f"#!/bin/sh\n{body}\n")
        (bin_dir / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_dir}:{os.environ['PATH']}")
    return calls


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environ}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_a_command_runs_in_the_image_with_the_gpus_as_the_caller(told):
    done = run("deploy/in-image", "python", "-m", "server", "--port", "9000", SOD_MODEL="mine")
    assert done.returncode == 0, done.stderr
    _, build, start = told.read_text().splitlines()
    assert build == f"build --quiet -f deploy/triton.Dockerfile -t triton-sod --build-arg VERSION={__version__} ."
    assert start.endswith("triton-sod python -m server --port 9000")
    assert f"--gpus all --network host --shm-size 2g --user {os.getuid()}:{os.getgid()}" in start
    assert "--env SOD_MODEL" in start
    assert f"{ROOT}/model_repository:/app/model_repository" in start


@pytest.mark.parametrize(
    ("certificate", "key", "volumes"),
    [
        ("/etc/tls/c.pem", "tls/k.pem", ["/etc/tls/c.pem:/etc/tls/c.pem:ro", f"{ROOT}/tls/k.pem:/app/tls/k.pem:ro"]),
        ("/both.pem", "/both.pem", ["/both.pem:/both.pem:ro"]),
        ("", "", []),
    ],
)
def test_the_files_of_tls_are_inside_where_their_settings_say(told, certificate, key, volumes):
    done = run("deploy/in-image", "python", SOD_TLS_CERTIFICATE=certificate, SOD_TLS_KEY=key)
    assert done.returncode == 0, done.stderr
    start = told.read_text().splitlines()[2]
    assert start.count("--volume") == 2 + len(volumes)
    assert all(f"--volume {volume}" in start for volume in volumes)


def test_the_first_build_shows_its_progress(told):
    done = run("deploy/in-image", "python", IMAGE_ABSENT="1")
    assert done.returncode == 0
    assert "building the image triton-sod: once" in done.stderr
    assert (
        told.read_text().splitlines()[1].startswith("build --progress=auto -f deploy/triton.Dockerfile -t triton-sod")
    )


def test_without_a_command_it_says_how(told):
    done = run("deploy/in-image")
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert not told.exists()


@pytest.mark.usefixtures("told")
def test_make_serve_takes_the_image_where_it_can():
    serve = run("make", "--dry-run", "serve", "PROFILE=gpu_regular").stdout
    assert "deploy/in-image python -m server --port 8080 --profile gpu_regular" in serve
    assert "pip install" not in serve


@pytest.mark.usefixtures("told")
def test_make_serve_embedded_insists():
    assert ".venv/bin/python -m server --port 8080" in run("make", "--dry-run", "serve", "EMBEDDED=1").stdout


@pytest.mark.usefixtures("told")
def test_make_export_builds_the_plan_in_the_image():
    export = run("make", "--dry-run", "export", "TARGET=tensorrt", "MODEL=PP-YOLOE_plus_SOD-S").stdout
    assert ".venv/bin/python -m export --model PP-YOLOE_plus_SOD-S" in export
    assert "--target onnx" in export
    assert "for name in PP-YOLOE_plus_SOD-S; do deploy/in-image python -m export --target tensorrt" in export


@pytest.mark.skipif(run("deploy/in-image", "--possible").returncode == 0, reason="docker and a GPU are here")
def test_make_serve_without_docker_or_gpu_is_embedded():
    assert ".venv/bin/python -m server --port 8080" in run("make", "--dry-run", "serve").stdout


def test_the_image_copies_what_the_server_runs():
    dockerfile = (ROOT / "deploy/triton.Dockerfile").read_text()
    allowed = (ROOT / ".dockerignore").read_text()
    for name in ("sod", "gateway", "server", "export", "benchmarks"):
        assert f"COPY {name} {name}" in dockerfile
        assert f"!{name}" in allowed
    for name in ("LICENSE", "NOTICE"):
        assert name in dockerfile
        assert f"!{name}" in allowed
    assert "USER triton-server" in dockerfile


WHEEL = """#!/bin/sh
echo "$@"; case "$*" in *11.*) exit 1 ;; esac
"""


@pytest.mark.parametrize(
    ("tensorrt", "code", "text"),
    [
        ("10.13.3.9-1+cuda13.0", 0, "tensorrt-cu13==10.13.3.9.*"),
        ("11.0.0.1-1+cuda13.0", 1, "no wheel tensorrt-cu13 has the version of this container's TensorRT, 11.0.0.1: "),
        ("", 1, "this container has no TensorRT (libnvinfer)"),
    ],
)
def test_a_tensorrt_without_a_wheel_is_one_sentence(tmp_path, tensorrt, code, text):
    for name, body in {"dpkg-query": f"#!/bin/sh\necho {tensorrt}\n", "pip": WHEEL}.items():
        (tmp_path / name).write_text(body)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run("deploy/tensorrt-wheel", str(tmp_path / "pip"), PATH=path, CUDA_VERSION="13.0.1")
    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == code


def test_the_build_refuses_an_old_release():
    """The line of the Dockerfile, as in a container of 26.06."""
    dockerfile = (ROOT / "deploy/triton.Dockerfile").read_text()
    (program,) = re.findall(r"^RUN cd /build && python3 -c '(.*)'$", dockerfile, re.MULTILINE)
    for release, code in {"26.06": 1, "26.08": 0}.items():
        fake = f"i.find_installation = lambda: i.Installation('', None, (), {{}}, None, release='{release}'); sys.exit"
        done = run(sys.executable, "-c", program.replace("sys.exit", fake, 1))
        assert done.returncode == code, done.stderr
        assert ("older than 26.07" in done.stderr) == bool(code)


def test_make_works_inside_the_image_without_docker(tmp_path):
    """As the Dockerfile leaves it: the Makefile, no locks, and stamps that say all is installed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (".serve", ".export"):
        (tmp_path / name).touch()
    dry_run = ["make", "--dry-run", "-C", str(tmp_path)]
    serve = run(*dry_run, "serve", "PORT=9000", SOD_VENV=str(tmp_path))
    assert serve.returncode == 0, serve.stderr
    assert f"{tmp_path}/bin/python -m server --port 9000" in serve.stdout
    plan = run(*dry_run, "export", "TARGET=tensorrt", "NAME=mine", SOD_VENV=str(tmp_path))
    assert plan.returncode == 0, plan.stderr
    assert f"{tmp_path}/bin/python -m export" in plan.stdout
    assert "--name mine" in plan.stdout
    assert "--target tensorrt" in plan.stdout
    assert "pip install" not in serve.stdout + plan.stdout

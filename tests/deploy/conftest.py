"""Podman, and the image for CPUs, which is built once for all tests."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.podman import ROOT, Podman, base_image, new_podman, why_absent
from tests.required import require

STORAGE = ROOT / ".cache/deploy"
CERTIFICATES = Path(os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """Its images stay in .cache, so that the next run builds only what has changed; containers and networks go."""
    problem = why_absent()
    require(not problem, str(problem))
    command = new_podman(STORAGE)
    yield command
    command("pod", "rm", "--all", "--force", check=False)
    command("rm", "--all", "--force", "--time", "0", check=False)
    command("volume", "prune", "--force", check=False)
    command("network", "prune", "--force", check=False)


@pytest.fixture(scope="session")
def cpu_image(podman: Podman) -> str:
    """The image as `make image` builds it, on a Debian made here; the package indices are this machine's."""
    name = "localhost/triton-sod-cpu:test"
    options = ["--network", "host"]
    if CERTIFICATES.is_file():
        options += ["--secret", f"id=ca-certificates,src={CERTIFICATES}"]
    environ = {**podman.environ, "ENGINE": "podman", "IMAGE": name, "BASE": base_image(podman)}
    done = subprocess.run(
        ["make", "image", f"ARGS={' '.join(options)}"],
        check=False,
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return name

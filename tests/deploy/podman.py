"""Podman with a storage of its own, so that no image or container of this machine's user is touched."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
READY_S = 300
# crun and larger limits than these are refused in some sandboxes that have no cgroups of their own.
_CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "cni"
network_config_dir = "{folder}/networks"
"""
_STORAGE_CONF = """
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class Podman:
    """The command, and the environment in which it uses `folder`."""

    folder: Path
    environ: dict[str, str]

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["podman", *arguments],
            check=False,
            env=self.environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"podman {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done

    def inspect(self, name: str) -> Any:
        return json.loads(self("inspect", name).stdout)[0]

    def logs(self, name: str) -> str:
        done = self("logs", name, check=False)
        return done.stdout + done.stderr

    def processes(self, name: str) -> list[int]:
        """Of the container, as this machine numbers them."""
        return [int(pid) for pid in self("top", name, "hpid").stdout.split()[1:]]


def why_absent() -> str:
    """What keeps containers from running here; empty if they can."""
    if os.geteuid() != 0:
        return "only root runs these containers"
    needed = ("podman", "runc", "mmdebstrap", "catatonit", "iptables", "dnsmasq")
    absent = [name for name in needed if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (tests/deploy/debian-packages)"
    return ""


def new_podman(folder: Path) -> Podman:
    folder.mkdir(parents=True, exist_ok=True)
    environ = dict(os.environ)
    for variable, text in {"CONTAINERS_CONF": _CONTAINERS_CONF, "CONTAINERS_STORAGE_CONF": _STORAGE_CONF}.items():
        path = folder / f"{variable.lower()}.toml"
        path.write_text(text.format(folder=folder))
        environ[variable] = str(path)
    (folder / "networks").mkdir(exist_ok=True)
    return Podman(folder, environ)


def base_image(podman: Podman) -> str:
    """A Debian 12 made here, since no registry of images is needed for the tests; kept from run to run."""
    name = "localhost/triton-sod-test-base"
    if podman("image", "exists", name, check=False).returncode == 0:
        return name
    archive = podman.folder / "base.tar"
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("doc", "locale", "man")]
    subprocess.run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", *left_out, "bookworm", str(archive)],
        check=True,
        capture_output=True,
        timeout=900,
    )
    podman("import", "--change", "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin", str(archive), name)
    archive.unlink()
    return name


def wait_until_ready(url: str, podman: Podman, name: str) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/health/ready", timeout=30).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"{name} is not ready after {READY_S} s:\n{podman.logs(name)}")

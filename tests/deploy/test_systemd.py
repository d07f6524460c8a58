"""The unit and the Quadlet file. systemd does not run here: `systemd-analyze` reads the unit."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server.cli import _parser
from tests.deploy.podman import ROOT
from tests.required import require

UNIT = ROOT / "deploy/systemd/triton-sod.service"
QUADLET = ROOT / "deploy/systemd/triton-sod.container"
# Of podman-systemd.unit(5), as far as the file uses them.
CONTAINER_KEYS = {
    "Image", "ContainerName", "PublishPort", "Volume", "EnvironmentFile", "User", "Group", "ReadOnly", "Tmpfs",
    "DropCapability", "NoNewPrivileges", "ShmSize", "HealthCmd", "HealthInterval", "HealthTimeout",
    "HealthStartPeriod", "StopTimeout",
}  # fmt: skip
# The launcher's 30 s for requests and 16 s for the ends of both processes (docs/gateway.md).
LEAST_STOP_S = 46


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    require(shutil.which("systemd-analyze"), "systemd-analyze is absent: apt-get install systemd")
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def unit(tmp_path) -> Path:
    """The unit for this checkout and this Python: systemd-analyze looks whether the program exists."""
    text = UNIT.read_text("utf-8").replace("/opt/triton-sod/.venv/bin/python", sys.executable)
    path = tmp_path / UNIT.name
    path.write_text(text.replace("/opt/triton-sod", str(ROOT)))
    return path


def settings(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(path.read_text("utf-8"))
    return parser


def test_systemd_finds_no_mistake_in_the_unit(unit):
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_a_mistake_in_a_unit(unit):
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHouse=yes"))
    assert "ProtectHouse" in analyze("verify", "--man=no", str(unit)).stderr


def test_the_service_is_little_exposed(unit):
    done = analyze("security", "--offline=true", "--threshold=20", str(unit))
    assert done.returncode == 0, done.stdout


def test_the_launcher_takes_the_command_of_the_unit():
    command = settings(UNIT)["Service"]["ExecStart"].split()
    assert command[1:3] == ["-m", "server"]
    _parser("server").parse_args(command[3:])


@pytest.mark.parametrize(
    ("path", "section", "key"), [(UNIT, "Service", "TimeoutStopSec"), (QUADLET, "Container", "StopTimeout")]
)
def test_a_stop_waits_for_the_requests(path, section, key):
    assert int(settings(path)[section][key]) >= LEAST_STOP_S


def test_the_quadlet_has_known_keys_and_runs_the_image_as_it_is_built():
    container = settings(QUADLET)["Container"]
    assert set(container) <= CONTAINER_KEYS
    assert container["ReadOnly"] == "true"
    assert container["DropCapability"] == "all"
    name = container["Image"].removeprefix("localhost/").removesuffix(":latest")
    assert f"name={name}" in (ROOT / "deploy/image").read_text("utf-8")
    assert (
        container["User"] == re.findall(r"^USER (\d+):", (ROOT / "deploy/cpu.Dockerfile").read_text("utf-8"), re.M)[0]
    )
    assert int(settings(QUADLET)["Service"]["TimeoutStopSec"]) > int(container["StopTimeout"])

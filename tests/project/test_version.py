"""The version is stated in `sod/__init__.py` and, for the client's package, in `sod_client/__init__.py`."""

import json
import re
import subprocess
import tomllib

import sod_client

from sod import __version__
from tests.project.repository import ROOT, shown, texts

# Files that repeat the version. Tests hold them to it: here, tests/gateway/api/test_openapi.py and
# tests/deploy/test_chart.py.
REPEATED = {"CHANGELOG.md", "deploy/helm/triton-sod/Chart.yaml", "docs/openapi.json"}
STATED = {"sod/__init__.py", "clients/python/sod_client/__init__.py"}


def test_the_version_is_three_numbers():
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_both_packages_have_one_version():
    assert sod_client.__version__ == __version__


def test_the_packages_metadata_take_the_version_from_the_code():
    for project, package in (("pyproject.toml", "sod"), ("clients/python/pyproject.toml", "sod_client")):
        metadata = tomllib.loads((ROOT / project).read_text("utf-8"))
        assert "version" not in metadata["project"], project
        assert metadata["project"]["dynamic"] == ["version"], project
        assert metadata["tool"]["setuptools"]["dynamic"]["version"] == {"attr": f"{package}.__version__"}, project


def test_the_image_takes_the_version_from_the_code():
    """`deploy/in-image` passes it to docker: tests/deploy/test_in_image.py."""
    printed = subprocess.run([ROOT / "deploy/version"], cwd="/", capture_output=True, text=True, check=True).stdout
    assert printed == f"{__version__}\n"


def test_the_api_description_has_the_version():
    assert json.loads((ROOT / "docs/openapi.json").read_text("utf-8"))["info"]["version"] == __version__


def test_the_changelog_begins_with_the_unreleased_changes_and_this_version():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", headings[1])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])


def test_the_security_policy_supports_this_version():
    minor = __version__.rpartition(".")[0]
    assert re.search(rf"^\| {re.escape(minor)} \| yes \|$", (ROOT / "SECURITY.md").read_text("utf-8"), re.MULTILINE)


def test_nothing_else_states_the_version():
    elsewhere = [
        f"{shown(path)}: {line.strip()}"
        for path, text in texts().items()
        if path.suffix != ".lock" and shown(path) not in STATED | REPEATED
        for line in text.splitlines()
        if re.search(rf"(?<![\w.]){re.escape(__version__)}(?![\w.])", line)
    ]
    assert elsewhere == []

"""Files that a project has, and what no file may hold."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.project.repository import ROOT, shown, texts

# Folders of one machine, and hosts from which one machine installs packages.
MACHINE = re.compile(r"(?<![\w.~$}>*/-])/(?:work|home|root|Users|mnt)/[\w.]")
REGISTRY = re.compile(
    r"(?<!emit)(?<!-)-?-(?:extra-)?index-url|(?:PIP|UV)\w*_INDEX|pythonhosted\.org|pypi\.org/simple|registry\.npmjs|GOPROXY"
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("LICENSE", r"Apache License\s+Version 2\.0, January 2004[\s\S]+END OF TERMS AND CONDITIONS"),
        ("NOTICE", r"Swagger UI[\s\S]+Noto Sans CJK"),
        ("CONTRIBUTING.md", r"make check[\s\S]+## Make a release"),
        ("SECURITY.md", r"CVE-2025-23319"),
        (".editorconfig", r"root = true"),
        (".gitignore", r"\n\*\.pem\n"),
        ("docs/gateway.md", r"-keyout \$TLS/key\.pem"),
        (".github/pull_request_template.md", r"make test"),
    ],
)
def test_the_project_has(name, content):
    assert re.search(content, (ROOT / name).read_text("utf-8"))


def test_the_metadata_name_the_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "NOTICE"]


def test_the_notice_attributes_the_training_data_of_the_model_card():
    """A set of data that the card adds is added to NOTICE too."""
    notice = (ROOT / "NOTICE").read_text("utf-8")
    card = (ROOT / "docs/model-card.md").read_text("utf-8")
    section = card.partition("## Training data")[2].partition("\n## ")[0]
    links = re.findall(r"^\| \[[^\]]+\]\((https://[^)]+)\)", section, re.MULTILINE)
    assert len(links) >= 3
    assert [link for link in links if link not in notice] == []


def test_pre_commit_runs_the_commands_of_make_check():
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe
    commands = [line.strip().replace("$(BIN)/", ".venv/bin/") for line in recipe[1].splitlines()]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == commands
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in local["hooks"])


def test_the_public_workflow_runs_the_same_script():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["container"]["image"] == "debian:12"
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*_*.yml")), ids=lambda path: path.stem)
def test_issue_forms_have_what_github_requires(form: Path):
    content = yaml.safe_load(form.read_text("utf-8"))
    assert content["name"]
    assert content["description"]
    assert any(part["type"] != "markdown" for part in content["body"])
    for part in content["body"]:
        assert part["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert part["type"] == "markdown" or (part["id"] and part["attributes"]["label"])


def test_no_file_names_a_machine_or_a_registry():
    found = [
        f"{shown(path)}:{number}: {line.strip()[:120]}"
        for path, text in texts().items()
        if path != Path(__file__)
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE.search(line) or REGISTRY.search(line)
    ]
    assert found == []


def test_locks_name_no_host():
    locks = [path for path in texts() if path.suffix == ".lock"]
    assert locks
    assert [shown(path) for path in locks if "://" in path.read_text("utf-8")] == []


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_no_lock_replaces_what_another_installs(python):
    """`make export` after `make test` would otherwise change the environment of the tests."""
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    pins: dict[str, set[str]] = {}
    for path in (path for path in texts() if path.suffix == ".lock"):
        for line in re.findall(r"^[\w.-]+==[^\\\n]+", path.read_text("utf-8"), re.MULTILINE):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate(here):
                pins.setdefault(pin.name, set()).add(str(pin.specifier))
    assert len(pins) > 100
    assert {name: pinned for name, pinned in pins.items() if len(pinned) > 1} == {}

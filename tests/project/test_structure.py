"""Sizes of folders and modules, and import contracts for every room."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.project.repository import ROOT, python_modules, shown

MAX_MODULES = 14
MAX_LINES = 400
# Packages that are divided into rooms, by their folders.
DIVIDED = {
    "sod": "sod",
    "server": "server",
    "gateway": "gateway",
    "export": "export",
    "finetune": "finetune",
    "benchmarks": "benchmarks",
    "benchmarks.performance": "benchmarks/performance",
    "sod_client": "clients/python/sod_client",
}


def rooms() -> list[str]:
    """Dotted names of the packages directly in the divided ones."""
    return [
        f"{package}.{path.parent.name}"
        for package, folder in DIVIDED.items()
        for path in python_modules()
        if path.name == "__init__.py" and path.parent.parent == ROOT / folder
    ]


def contracts() -> list[dict[str, Any]]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    assert isinstance(found, list)
    return found


def restricted(contract: dict[str, Any]) -> Iterator[str]:
    """Modules whose imports the contract restricts; those it only forbids to others are not among them."""
    yield from contract.get("source_modules", [])
    yield from contract.get("modules", [])
    layers = [name for layer in contract.get("layers", []) for name in re.findall(r"[\w.]+", layer)]
    for container in contract.get("containers", [""]):
        yield from (f"{container}.{name}".lstrip(".") for name in layers)


def test_a_folder_has_at_most_so_many_modules():
    counts = Counter(shown(path.parent) for path in python_modules())
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES} == {}


def test_a_module_has_at_most_so_many_lines():
    lines = {shown(path): len(path.read_text("utf-8").splitlines()) for path in python_modules()}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_every_room_has_an_import_contract():
    named = {name for contract in contracts() for name in restricted(contract)}
    assert [room for room in rooms() if room not in named] == []


@pytest.mark.parametrize("package", DIVIDED)
def test_the_rooms_are_found(package):
    assert any(room.startswith(f"{package}.") for room in rooms())


def test_every_room_is_on_the_page_of_the_architecture():
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    folders = [f"{DIVIDED[package]}/{name}/" for package, _, name in (room.rpartition(".") for room in rooms())]
    assert [folder for folder in folders if f"`{folder}`" not in page] == []


def test_every_contract_names_modules_that_exist():
    """import-linter itself ignores a forbidden module that does not exist."""
    own = tuple(f"{package}." for package in ("sod", "gateway", "server", "export", "benchmarks", "finetune"))
    named = {
        name
        for contract in contracts()
        for name in (*restricted(contract), *contract.get("forbidden_modules", []))
        if name.startswith((*own, "sod_client."))
    }
    places = {name: name.replace(".", "/") for name in named}
    for name, place in places.items():
        base = ROOT / "clients/python" / place if name.startswith("sod_client.") else ROOT / place
        assert base.is_dir() or base.with_suffix(".py").is_file(), f"a contract names {name}, which does not exist"

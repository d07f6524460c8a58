"""`make clean` lists what it removes, and keeps trainings and exports."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project.repository import ROOT

REMOVED = (".venv/bin/python", ".cache/export/mine/reference.npz", ".mypy_cache/x", "triton_sod.egg-info/PKG-INFO")
TRAININGS = ("output/finetune/mine/best.pdparams", ".cache/finetune/old/best.pdparams", ".cache/training/best.pt")
EXPORTS = ("model_repository/mine/config.pbtxt", "model_repository/mine_detector/1/model.onnx",
           "model_repository/S_detector/1/model.onnx")  # fmt: skip
TRACKED = ("model_repository/S_detector/config.pbtxt", "Makefile", "output.txt")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real Makefile and a file for every kind of thing."""
    for name in (*REMOVED, *TRAININGS, *EXPORTS, *TRACKED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    for command in (["init", "-q"], ["add", *TRACKED]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def clean(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["make", "-s", "clean", "EMBEDDED=1", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def exist(folder: Path, names: tuple[str, ...]) -> list[bool]:
    return [(folder / name).exists() for name in names]


def test_caches_are_listed_and_removed(checkout: Path) -> None:
    output = clean(checkout)
    for name in (".venv", ".cache/export", ".mypy_cache", "triton_sod.egg-info"):
        assert f"\t{name}\n" in output.partition("removing:")[2]
    assert exist(checkout, REMOVED) == [False] * len(REMOVED)
    assert all(exist(checkout, TRACKED))


def test_trainings_are_kept_and_named(checkout: Path) -> None:
    for arguments in ((), ("ALL=1",)):
        output = clean(checkout, *arguments)
        assert all(exist(checkout, TRAININGS))
        assert "kept, trainings: output/finetune\n" in output
        assert "kept, trainings: .cache/finetune\n" in output


def test_exports_are_removed_only_with_all(checkout: Path) -> None:
    output = clean(checkout)
    assert "kept, an export (ALL=1 removes it): model_repository/mine/" in output
    assert all(exist(checkout, EXPORTS))
    clean(checkout, "ALL=1")
    assert exist(checkout, EXPORTS) == [False] * len(EXPORTS)
    assert all(exist(checkout, TRACKED))


def test_a_clean_checkout_has_nothing_to_remove(checkout: Path) -> None:
    clean(checkout, "ALL=1")
    assert "nothing to remove" in clean(checkout, "ALL=1")

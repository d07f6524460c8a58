from pathlib import Path

import pytest

from export.errors import ExportError
from export.triton.install import install_files


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_files_are_installed_under_their_new_names(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "repository" / "m_detector" / "1"
    source.write_text("new")
    target.mkdir(parents=True)
    (target / "model.onnx").write_text("old")
    (target / "model.plan").write_text("untouched")
    assert install_files({"model.onnx": source, "inference.json": source}, target) == [
        target / "model.onnx",
        target / "inference.json",
    ]
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        "model.onnx": "new",
        "inference.json": "new",
        "model.plan": "untouched",
    }


def test_all_or_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "1"
    source.write_text("new")
    target.mkdir()
    (target / "model.onnx").write_text("old")
    with pytest.raises(ExportError, match="cannot be written to"):
        install_files({"model.onnx": source, "inference.json": tmp_path / "absent"}, target)
    assert names(target) == ["model.onnx"]
    assert (target / "model.onnx").read_text() == "old"


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("new")
    with pytest.raises(ExportError, match="cannot be written to"):
        install_files({"model.onnx": source}, source / "1")
    assert names(tmp_path) == ["source"]

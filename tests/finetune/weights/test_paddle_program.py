"""Weights written into a Paddle program."""

import json

import pytest

from finetune.weights.paddle_program import main
from tests.export.conftest import DEMO
from tests.export.tiny_model import make_tiny_paddle_model


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory):
    return make_tiny_paddle_model(tmp_path_factory.mktemp("tiny"))


def test_another_architecture_is_refused(other, tmp_path, capsys) -> None:
    assert main([str(other), str(DEMO), str(tmp_path / "out")]) == 2
    assert "different architectures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_files_without_weights_are_refused(other, tmp_path, capsys) -> None:
    for name, message in (
        ("a.onnx", "is not an ONNX model"),
        ("a.npz", "neither an ONNX model nor an npz file"),
        ("b.npz", "No such file"),
    ):
        path = tmp_path / name
        if name != "b.npz":
            path.write_bytes(json.dumps({}).encode() * 50)
        assert main([str(other), str(path), str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


def test_a_folder_without_a_model_is_refused(tmp_path, capsys) -> None:
    assert main([str(tmp_path), str(DEMO), str(tmp_path / "out")]) == 2
    assert "inference.json" in capsys.readouterr().err

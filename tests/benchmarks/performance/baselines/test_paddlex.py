"""PaddleX: its model, its installation, and where it is absent."""

import subprocess

import pytest

from benchmarks.performance.baselines import paddlex as paddlex_server
from benchmarks.performance.errors import BenchmarkError


class TestPaddleX:
    def test_the_folder_of_the_model_is_found(self, tmp_path):
        (tmp_path / "S").mkdir()
        (tmp_path / "S/inference.yml").touch()
        assert paddlex_server.find_model(tmp_path, "S") == tmp_path / "S"
        assert paddlex_server.find_model(tmp_path / "S", "S") == tmp_path / "S"
        with pytest.raises(BenchmarkError, match=r"inference\.yml"):
            paddlex_server.find_model(tmp_path, "L")

    def test_the_architecture_is_read_from_the_model(self, tmp_path):
        says = tmp_path / "inference.yml"
        says.write_text("Global:\n  model_name: PP-YOLOE_plus_SOD-S\n")
        assert paddlex_server.architecture(tmp_path) == "PP-YOLOE_plus_SOD-S"
        for text in ("Global: {}\n", "", "[", "mode: paddle\n"):
            says.write_text(text)
            with pytest.raises(BenchmarkError, match=r"model_name"):
                paddlex_server.architecture(tmp_path)

    def test_the_make_target_that_installs_it_is_named(self, tmp_path):
        said = pytest.raises(BenchmarkError, match="make bench-paddlex")
        with said, paddlex_server.started(tmp_path, tmp_path, tmp_path / "venv"):
            pytest.fail("there is none")

    def test_it_is_installed_once(self, tmp_path, monkeypatch):
        commands = []

        def run(command, **_):
            commands.append(command)
            tmp_path.joinpath("venv").mkdir(exist_ok=True)
            return subprocess.CompletedProcess(command, 0)

        monkeypatch.setattr(paddlex_server.subprocess, "run", run)
        paddlex_server.install(tmp_path / "venv")
        paddlex_server.install(tmp_path / "venv")
        assert len(commands) == 2
        assert set(paddlex_server.PINS) <= set(commands[1])

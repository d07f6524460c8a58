"""The completions of a shell after `sod completion SHELL`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sod_client.cli import main

from tests.clients.conftest import SUCCESS, FakeServer

ROOT = Path(__file__).parents[3]
PLUGIN = """
import argparse
def main(argv, prog):
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--profile", choices=["fast", "exact"])
    print("began to parse")
    return parser.parse_args(argv)
"""
Complete = Callable[[str], set[str]]


@pytest.fixture
def environment(tmp_path: Path, server: FakeServer) -> dict[str, str]:
    """One in which `sod` is this checkout's, with another package's command `other`, and asks the fake server."""
    information = tmp_path / "site" / "their_package-9.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 9\n")
    (information / "entry_points.txt").write_text("[sod.commands]\nother = their_plugin:main\n")
    (tmp_path / "site" / "their_plugin.py").write_text(PLUGIN)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "sod"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sod_client "$@"\n')
    command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{tmp_path / 'site'}:{ROOT / 'clients' / 'python'}",
        "SOD_URL": server.url,
    }


@pytest.fixture
def bash(environment: dict[str, str], tmp_path: Path) -> Complete:
    """What bash itself offers at the end of a line, after the script was sourced."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("bash is not here")
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "street.jpg").touch()
    program = """
eval "$(sod completion bash)" || exit 9
complete -p sod >/dev/null || exit 8
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
_python_argcomplete sod
printf '%s\\n' "${COMPREPLY[@]}"
"""

    def complete(line: str) -> set[str]:
        done = subprocess.run(
            [shell, "--norc", "--noprofile", "-c", program, "bash", line],
            env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return {word.strip() for word in done.stdout.splitlines() if word.strip()}

    return complete


def test_bash_completes_commands_and_options(bash: Complete) -> None:
    assert {"predict", "models", "config", "completion", "other"} <= bash("sod ")
    assert bash("sod pre") == {"predict"}
    assert bash("sod --get") == {"--get_pipeline_config"}
    assert {"--save_path", "--save"} <= bash("sod --pipeline small_object_detection --sa")
    assert bash("sod predict street.jpg --thr") == {"--threshold"}
    assert "--input" not in bash("sod predict --")


def test_bash_completes_values_files_and_models(bash: Complete, server: FakeServer) -> None:
    model = {"name": "PP-YOLOE_plus_SOD-S", "labels": ["car"], "inputSize": [640, 640], "default": True}
    server.respond_with(200, {**SUCCESS, "result": {"models": [model]}})
    assert bash("sod predict street.jpg --format ") == {"text", "python", "json", "csv", "coco"}
    assert bash("sod completion z") == {"zsh"}
    assert bash("sod predict str") == {"street.jpg"}
    assert bash("sod --pipeline small_object_detection --input str") == {"street.jpg"}
    assert bash("sod predict street.jpg --model ") == {"PP-YOLOE_plus_SOD-S"}
    server.respond_with(500, b"")
    assert "PP-YOLOE_plus_SOD-S" not in bash("sod predict street.jpg --model ")


def test_bash_completes_another_packages_command(bash: Complete) -> None:
    assert bash("sod other --pro") == {"--profile"}
    assert bash("sod other --profile ") == {"fast", "exact"}
    assert bash("sod --profile") == set(), "it is not ours"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_shells(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert "sod" in script.read_text()
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here to read its script")
    done = subprocess.run([program, "-n", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_that_cannot_be_loaded_completes_nothing(bash: Complete, tmp_path: Path) -> None:
    (tmp_path / "site" / "their_plugin.py").write_text("import not_there")
    assert "--profile" not in bash("sod other --pro")

"""Commands of other packages, such as `sod export`: found by their metadata, and loaded when they run."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from sod_client.cli import main

ROOT = Path(__file__).parents[3]
Install = Callable[..., Path]
COMMANDS = {
    "bench": "make serve",
    "doctor": "make serve",
    "eval": "make serve",
    "export": "make export",
    "finetune": "make export",
    "serve": "make serve",
}

PLUGIN = """
import argparse, sys
def main(argv, prog="python -m plugin"):
    parser = argparse.ArgumentParser(prog=prog, description="A plugin.")
    parser.add_argument("--code", type=int, default=0)
    options = parser.parse_args(argv)
    print(prog, options.code)
    return options.code
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution whose entry points are the only ones of their group."""

    def do(distribution: str = "triton-sod", **commands: str) -> Path:
        site = tmp_path / "site"
        information = site / f"{distribution.replace('-', '_')}-9.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 9\n")
        lines = [f"{name} = {value}" for name, value in commands.items()]
        (information / "entry_points.txt").write_text("\n".join(["[sod.commands]", *lines]))
        (site / "plugin.py").write_text(PLUGIN)
        monkeypatch.syspath_prepend(site)
        found = metadata.Distribution.at(information).entry_points
        monkeypatch.setattr("sod_client._cli.plugins.entry_points", lambda group: found.select(group=group))
        return site

    return do


def test_a_command_is_run_with_its_own_name_and_its_exit_code(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(export="plugin:main")
    assert main(["export", "--code", "3"]) == 3
    assert capsys.readouterr().out == "sod export 3\n"
    with pytest.raises(SystemExit) as stop:
        main(["export", "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("usage: sod export [-h]")
    with pytest.raises(SystemExit) as stop:
        main(["export", "--nonsense"])
    assert stop.value.code == 2


def test_help_lists_what_is_installed_and_loads_nothing(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(export="not_there:main", serve="not_there:main", other="not_there:main")
    with pytest.raises(SystemExit):
        main(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "export convert a Paddle model and install it in the server" in words
    assert "serve start the server" in words
    assert "other provided by the package triton-sod" in words
    assert "bench" not in words


def test_a_client_alone_has_its_own_commands_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sod_client._cli.plugins.entry_points", lambda **_: metadata.EntryPoints())
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "  predict  " in out
    assert "  export  " not in out
    for name, command in COMMANDS.items():
        assert main([name, "--nonsense"]) == 2
        assert capsys.readouterr().err == (
            f"sod: {name} is a command of the server's package, which is not installed: `{command}` in a checkout of "
            "triton-sod installs it\n"
        )
    with pytest.raises(SystemExit) as stop:
        main(["nonsense"])
    assert stop.value.code == 2


def test_a_command_that_lacks_a_package_says_which(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(export="not_there:main")
    assert main(["export"]) == 1
    error = capsys.readouterr().err
    assert "No module named 'not_there'" in error
    assert "`make export` in a checkout of triton-sod installs it" in error
    assert error.count("\n") == 1


def test_a_command_that_lacks_a_package_when_it_runs_says_so_too(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    site = install(export="late:main")
    (site / "late.py").write_text("def main(argv, prog):\n    import not_there\n")
    assert main(["export", "--model_dir", "nowhere"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("sod: export cannot run (No module named 'not_there'): `make export` in a checkout")
    assert error.count("\n") == 1


def test_another_packages_command_that_lacks_one_names_that_package(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("their-package", other="not_there:main")
    assert main(["other"]) == 1
    assert "install their-package with all its dependencies" in capsys.readouterr().err


def test_the_actions_on_models_are_the_servers(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(export="plugin:main")
    assert main(["models", "load", "mine"]) == 2
    assert "are the server's, which is not installed here" in capsys.readouterr().err


def test_the_actions_on_models_are_passed_on(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(models="plugin:main")
    with pytest.raises(SystemExit) as stop:
        main(["models", "load", "mine"])  # the plugin of this test takes no words
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: sod models [-h] [--code CODE]")
    with pytest.raises(SystemExit) as stop:
        main(["models", "--help"])
    assert stop.value.code == 0
    assert "List the models that the server has ready" in capsys.readouterr().out


def test_no_command_takes_the_place_of_our_own(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(predict="plugin:main")
    with pytest.raises(SystemExit) as stop:
        main(["predict"])
    assert stop.value.code == 2
    assert "the following arguments are required: IMAGE" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["doctor", "eval", "export", "finetune", "serve"])
def test_the_commands_that_pyproject_declares(install: Install, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    install(**project["entry-points"]["sod.commands"])
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: sod {name} ")


def test_a_real_process_finds_the_metadata(install: Install) -> None:
    """An entry point as a package manager writes it, read by a process of its own."""
    site = install(other="plugin:main")
    path = os.pathsep.join([str(site), str(ROOT / "clients" / "python")])
    done = subprocess.run(
        [sys.executable, "-m", "sod_client.cli", "other", "--code", "4"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "sod other 4\n", "")

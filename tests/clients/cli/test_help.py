"""`--help` of every command, including those of the server's package: one description, and each default once."""

import re
import tomllib
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from sod_client.cli import main

from benchmarks.cli import COMMANDS, REPORT

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
PLUGINS = PROJECT["entry-points"]["sod.commands"]
BENCHMARKS = [name for name in COMMANDS if name != REPORT]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that pyproject.toml declares, and a terminal wide enough for one line per option."""
    found = EntryPoints(EntryPoint(name, value, "sod.commands") for name, value in PLUGINS.items())
    monkeypatch.setattr("sod_client._cli.plugins.entry_points", lambda **_: found)
    monkeypatch.setenv("COLUMNS", "1000")


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_sod_describes_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    lines = help_of(capsys).splitlines()
    start = lines.index("commands:") + 2
    described = dict(line.split(maxsplit=1) for line in lines[start : lines.index("", start)])
    assert set(described) == {"predict", "watch", "batch", "models", "config", "completion", *PLUGINS}
    for name, description in described.items():
        assert re.fullmatch(r"[a-z][^<>:;]+", description), name
        assert "provided by the package" not in description, name


@pytest.mark.parametrize(
    "words",
    [
        (),
        *[(name,) for name in ("predict", "watch", "batch", "models", "config", "completion", *PLUGINS)],
        *[("bench", name) for name in BENCHMARKS],
        *[("bench", "gpu-day", name) for name in ("run", "pack", "unpack")],
    ],
    ids=" ".join,
)
def test_help_is_plain(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    shown = help_of(capsys, *words)
    options = [line for line in shown.splitlines() if re.match(r"  -", line)]
    assert options
    for line in options:
        assert line.count("(default: ") <= 1, line
        assert not re.search(r"default: (None|False|True|\[)", line), line
        assert not re.search(r"<\w+\.\w+", line), f"the repr of an enum: {line}"
        assert not re.search(r"\{'\w+': \d", line), f"the repr of a dict: {line}"


@pytest.mark.parametrize("name", ["predict", "watch", "batch", "models", "config"])
def test_the_exit_codes_are_those_of_the_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    shown = help_of(capsys, name)
    codes = shown.partition("exit codes:")[2]
    assert codes
    assert ("every image" in codes) == (name in {"predict", "batch"})
    assert [option for option in re.findall(r"--\w+", codes) if option not in shown.partition("exit codes:")[0]] == []


@pytest.mark.parametrize("words", [("serve", "--port", "x"), ("serve", "--port", "70000")])
def test_a_wrong_port_is_named(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == 2
    assert f"{words[-1]!r} is not a port from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["serve", "doctor", "eval"])
def test_a_wrong_profile_lists_the_profiles_by_value(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "data", "--profile", "x"] if name == "eval" else [name, "--profile", "x"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "cpu_high_performance" in error
    assert "<" not in error

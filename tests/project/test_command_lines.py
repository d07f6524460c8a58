"""Command lines in pages: the options that they pass and the variables that they set exist."""

import re
import shlex
import tomllib
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints
from io import StringIO
from pathlib import Path

import pytest
from sod_client.cli import main as sod

from benchmarks.cli import COMMANDS
from gateway.__main__ import main as gateway
from tests.project.repository import ROOT, pages, shown

# Reports and the changelog tell what earlier versions did.
PAGES = [page for page in pages() if "results" not in page.parts and page.name != "CHANGELOG.md"]
PLUGINS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["sod.commands"]
SUBCOMMANDS: dict[str, tuple[str, ...]] = {
    "sod": ("predict", "watch", "batch", "models", "config", "completion", *PLUGINS),
    "sod bench": tuple(COMMANDS),
    "sod bench gpu-day": ("run", "pack", "unpack"),
    "sod models": ("load", "unload", "remove"),
}
# `make NAME ARGS=…` and `python -m MODULE` pass options to these commands.
MAKE = {"serve": "sod serve", "export": "sod export", "finetune": "sod finetune", "bench": "sod bench"}
MODULES = {
    "server": "sod serve",
    "gateway": "gateway",
    "export": "sod export",
    "finetune": "sod finetune",
    "benchmarks.cli": "sod bench",
    "benchmarks.gpu_day.cli": "sod bench gpu-day",
}
COMMAND = re.compile(r"(?:^|[\s/(|!])(?:(sod)|python3? -m ([\w.]+)|make ([a-z-]+)) (.*)")
OPTION = re.compile(r"--[a-zA-Z][\w-]*")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that pyproject.toml declares, and a terminal wide enough for one line per option."""
    found = EntryPoints(EntryPoint(name, value, "sod.commands") for name, value in PLUGINS.items())
    monkeypatch.setattr("sod_client._cli.plugins.entry_points", lambda **_: found)
    monkeypatch.setenv("COLUMNS", "1000")


def lines(text: str) -> list[str]:
    """Lines of code blocks, joined where they end in a backslash; and code spans."""
    blocks = re.findall(r"^(?:```\w*\n([\s\S]*?)^```| {4}(\S.*)$)", text, re.MULTILINE)
    prose = re.sub(r"^```[\s\S]*?^```", "", text, flags=re.MULTILINE)
    code = "\n".join(block or indented for block, indented in blocks).replace("\\\n", " ")
    return [*code.splitlines(), *(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))]


def words_of(rest: str) -> list[str]:
    """The words of a command line up to a pipe, a comment or another command."""
    try:
        words = shlex.split(rest, comments=True)
    except ValueError:  # a quotation that the line does not end
        words = rest.split()
    ends = [index for index, word in enumerate(words) if word in {"|", "&&", "&", ">"} or word.endswith(";")]
    return words[: ends[0]] if ends else words


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Our commands with what is passed to them; the words of a make target are kept with it."""
    found = []
    for line in lines(text):
        if (match := COMMAND.search(line)) is None or "helm" in line or "keytool" in line:
            continue
        words = words_of(match[4])
        if match[3]:
            found.append((f"make {match[3]}", words))
            options = [word.removeprefix("ARGS=") for word in words if word.startswith("ARGS=")]
            name, words = MAKE.get(match[3], ""), " ".join(options).split()
        else:
            name = match[1] or MODULES.get(match[2], "")
        while name in SUBCOMMANDS and words and words[0] in SUBCOMMANDS[name]:
            name = f"{name} {words.pop(0)}"
        if name:
            found.append((name, words))
    return found


@cache
def options(command: str) -> frozenset[str]:
    """What the command's help lists."""
    name, *words = command.split()
    written = StringIO()
    with redirect_stdout(written), suppress(SystemExit):
        (sod if name == "sod" else gateway)([*words, "--help"])
    columns = [re.split(r"\s{2,}", line.strip())[0] for line in written.getvalue().splitlines()]
    return frozenset(option for column in columns if column.startswith("-") for option in OPTION.findall(column))


@cache
def variables() -> frozenset[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    found = re.search(r"^VARIABLES := (.*)$", makefile, re.MULTILINE)
    assert found
    return frozenset(found[1].split())


def unknown(text: str) -> list[str]:
    """Options and variables of the text's command lines that do not exist."""
    found = []
    for name, words in commands(text):
        if name.startswith("make "):
            given = [word.partition("=")[0] for word in words if re.match(r"[A-Z_]+=", word)]
            found += [f"{name} {key}=" for key in given if key not in variables() and not key.startswith("SOD_")]
        else:
            given = [option for word in words if (option := word.partition("=")[0]).startswith("--")]
            found += [f"{name} {option}" for option in given if option not in options(name)]
    return found


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_options_and_variables_of_command_lines_exist(page: Path) -> None:
    assert unknown(page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```sh\n.venv/bin/sod predict a.jpg \\\n  --treshold 0.4  # --save\n```", ["sod predict --treshold"]),
        ("`sod eval DATA --resume`", ["sod eval --resume"]),
        ("    python -m export --name a --nam b", ["sod export --nam"]),
        ("`make serve ARGS='--hots 0.0.0.0' POTR=1`", ["make serve POTR=", "sod serve --hots"]),
        ("`sod bench gpu-day run --pretend | cat --all`", []),
    ],
)
def test_what_does_not_exist_is_found(text: str, found: list[str]) -> None:
    assert unknown(text) == found


def test_every_measurement_is_on_the_page_of_the_performance() -> None:
    page = (ROOT / "docs/performance.md").read_text("utf-8")
    named = set(re.findall(r"`(?:sod bench )?([a-z-]+)`", page))
    assert set(COMMANDS) - {"report"} - named == set()

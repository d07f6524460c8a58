"""Run the same command lines with `paddlex` and `sod`."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2

from benchmarks.performance.baselines.paddlex import VENV
from tests.paddlex.command_cases import LINES, Line
from tests.paddlex.difference import difference
from tests.paddlex.sdk import environment, make_files
from tests.paddlex.sdk_cases import files
from tests.paddlex.servers import Contestants
from tests.paddlex.table import read_rows
from tests.paddlex.verdict import Verdict, judge

_RESULT = re.compile(r"\{'res': .*\}")
_NUMPY = re.compile(r"\b(?:np\.)?(?:float|int)\d+\(([^()]*)\)")  # PaddleX prints `np.float32(0.5)`
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def compare(contestants: Contestants, only: str = "") -> Iterator[Verdict]:
    """One verdict a command line that contains `only`."""
    rows = read_rows("The command") | read_rows("Python")
    sod = [sys.executable, "-P", "-m", "sod_client"]
    for line in LINES:
        if only in line.words:
            theirs, their_text = _observed(contestants, [str(VENV / "bin/paddlex")], line, contestants.environ)
            ours, our_text = _observed(contestants, sod, line, environment(contestants))
            found = difference(theirs, ours)
            if found and theirs["succeeds"] != ours["succeeds"]:
                found = f"{found} ({_last(their_text)!r} and {_last(our_text)!r})"
            yield judge(f"command: {line.words or '(no options)'}", found, line.row, rows)


def _observed(
    contestants: Contestants, command: list[str], line: Line, environ: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """What a user sees: whether it succeeds, the results that are printed, and the files; and all that was printed."""
    folder = make_files(contestants.work / "command", contestants.model)
    made = set(_names(folder))
    done = subprocess.run(
        [*command, *line.arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "1000", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    text = _COLOUR.sub("", done.stdout + done.stderr)
    new = {name: content for name, content in _contents(folder).items() if name not in made}
    shutil.rmtree(folder)
    printed = [ast.literal_eval(_NUMPY.sub(r"\1", result)) for result in _RESULT.findall(text)]
    return {"succeeds": done.returncode == 0, "printed": printed, "files": new}, text


def _names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def _contents(folder: Path) -> dict[str, Any]:
    """Text and JSON as such, images as their shape."""
    contents: dict[str, Any] = {}
    for name in _names(folder):
        path = folder / name
        if path.suffix == ".json":
            contents[name] = files(str(path.parent))[str(path)]
        elif path.suffix == ".yaml":
            contents[name] = path.read_text("utf-8")
        else:
            image = cv2.imread(str(path))
            contents[name] = path.stat().st_size if image is None else list(image.shape)
    return contents


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][-160:]

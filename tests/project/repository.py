"""The files of this repository, as its tests read them."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("sod", "gateway", "server", "export", "benchmarks", "finetune")
"""Packages in the root. `sod_client` lies in `clients/python`."""


@cache
def files() -> tuple[Path, ...]:
    """Every file that git tracks, or would track if it were added; absolute."""
    # In a container the checkout may belong to another user, which git refuses unless it is told otherwise.
    git = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"git lists the files of the repository, and failed: {error}", allow_module_level=True)
    found = (ROOT / name for name in listed.stdout.split("\0") if name)
    return tuple(sorted(path for path in found if path.is_file()))


def python_modules() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def pages() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def texts() -> dict[Path, str]:
    """The content of every file that is UTF-8."""
    found = {}
    for path in files():
        data = path.read_bytes()
        if b"\0" not in data:
            found[path] = data.decode("utf-8", errors="replace")
    return found


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()

"""Sizes of environments that pages and messages name, compared with what is installed here."""

import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from tests.project.repository import ROOT

LOCKS = ("serve", "paddle", "export", "dev")


def gigabytes(lock: str) -> float:
    """The size of the files of a lock's packages; one that is meant for other machines is not there."""
    text = (ROOT / f"requirements/{lock}.lock").read_text("utf-8")
    total = 0
    for name in re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==", text, re.MULTILINE):
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        total += sum(place.stat().st_size for file in files if (place := file.locate()).is_file())
    return total / 1e9


@pytest.mark.parametrize("lock", LOCKS)
def test_the_makefile_says_what_an_installation_takes(lock: str) -> None:
    named = re.search(rf"^SIZE_{lock} := ([\d.]+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert named
    assert float(named[1]) == pytest.approx(gigabytes(lock), rel=0.15)


@pytest.mark.parametrize(
    ("page", "lock"),
    [("README.md", "serve"), ("README.zh-CN.md", "serve"), ("CONTRIBUTING.md", "dev"), ("server/doctor.py", "serve")],
)
def test_the_pages_say_the_same(page: str, lock: str) -> None:
    named = re.search(rf"^SIZE_{lock} := ([\d.]+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert named
    assert named[1] in re.findall(r"([\d.]+) GB", (ROOT / page).read_text("utf-8"))

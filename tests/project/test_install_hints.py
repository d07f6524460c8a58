"""What our messages and pages tell people to install must be obtainable: none of our distributions is in an index."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = re.compile(r"pip install[^\n`]*?['\" ](?:triton-sod|sod-client)\b|\"'sod-client\[")
SOURCES = sorted(
    path
    for folder in ("sod", "gateway", "server", "export", "benchmarks", "finetune", "clients", "docs", "deploy")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md", ".html", ".js") and "node_modules" not in path.parts
)


@pytest.mark.parametrize("path", [ROOT / "README.md", *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_distribution_of_ours_is_to_be_installed_from_an_index(path: Path) -> None:
    assert not OWN.search(path.read_text(encoding="utf-8"))

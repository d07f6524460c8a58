"""Pages lead to what exists: links, anchors, paths and modules. So do paths in comments and docstrings."""

import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.project.repository import PACKAGES, ROOT, pages, shown, texts

TOP = (*PACKAGES, "clients", "deploy", "docs", "model_repository", "requirements", "tests", ".ci", ".github")
LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
# A path in a code span; "::" and ":" separate a test or a line from it. A test's path may begin in `tests/`.
PATH = re.compile(rf"^((?:{'|'.join(map(re.escape, TOP))})/[\w./*-]*)(?::.*)?$")
# A module, class or function in a code span: its first two names at least.
DOTTED = re.compile(rf"^((?:{'|'.join(PACKAGES)}|sod_client)(?:\.\w+)+)(?:\(.*\))?$")
RUN = re.compile(rf"\bpython3? -m ((?:{'|'.join(PACKAGES)}|sod_client)(?:\.\w+)*)")
SOURCE_PATH = re.compile(
    rf"(?<![\w/.<>}}*-])((?:{'|'.join(map(re.escape, TOP))})/[\w./-]+\.(?:py|md|json|toml|Dockerfile))\b"
)
SUFFIXES = {"md", "py", "in", "lock", "json", "png", "jpg", "log", "yml", "toml", "npz", "onnx", "dockerfile"}


def without_code(text: str) -> str:
    """The page without its code blocks."""
    return re.sub(r"^( *)(```+|~~~+)[\s\S]*?^\1\2", "", text, flags=re.MULTILINE)


def spans(text: str) -> list[str]:
    """Code spans, one line each."""
    return [
        " ".join(span.split()) for _, span in re.findall(r"(?<!`)(`+)(?!`)([\s\S]+?)(?<!`)\1(?!`)", without_code(text))
    ]


@cache
def anchors(page: Path) -> frozenset[str]:
    """Ids of the page's headings, as GitHub makes them, and its own `id="…"`."""
    text = without_code(page.read_text("utf-8"))
    found = set(re.findall(r"""\bid=["']([^"']+)""", text))
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*\s*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(found)


@cache
def entry_points() -> frozenset[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return frozenset(project["entry-points"])


def is_ours(name: str) -> bool:
    """Whether `name` is a module of ours, something that one defines, or one of our groups of entry points."""
    if name in entry_points():
        return True
    base = ROOT / "clients/python" if name.startswith("sod_client") else ROOT
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        place = base.joinpath(*parts[:count])
        source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if place.is_dir() or source.is_file():
            text = source.read_text("utf-8") if source.is_file() else ""
            return all(re.search(rf"^\s*(?:(?:async )?def |class |from .* import .*\b)?{part}\b", text, re.MULTILINE)
                       for part in parts[count:])  # fmt: skip
    return False


def broken_links(page: Path) -> list[str]:
    found = []
    text = re.sub(r"`[^`\n]*`", "", without_code(page.read_text("utf-8")))
    for inline, reference in LINK.findall(text):
        link = inline or reference
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / unquote(name)).resolve() if name else page
        if not target.is_relative_to(ROOT) or not target.exists():
            found.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target):
            found.append(f"{link}: no such heading")
    return found


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_links_of_the_page_lead_somewhere(page):
    assert broken_links(page) == []


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_paths_and_modules_of_the_page_exist(page):
    text = page.read_text("utf-8")
    missing = []
    for span in spans(text):
        if (path := PATH.match(span)) and "..." not in span:
            name = path[1].rstrip("/")
            if not any(any(base.glob(name)) for base in (ROOT, *([ROOT / "tests"] if "::" in span else []))):
                missing.append(span)
        elif (dotted := DOTTED.match(span)) and dotted[1].rpartition(".")[2].lower() not in SUFFIXES:
            missing += [] if is_ours(dotted[1]) else [span]
    missing += [f"python -m {name}" for name in RUN.findall(text) if not is_ours(name)]
    assert missing == []


def test_paths_in_code_and_configuration_exist():
    """A comment that names a file of this repository names one that is there."""
    missing = [
        f"{shown(path)}: {name}"
        for path, text in texts().items()
        if path.suffix in {".py", ".toml", ".yml", ".Dockerfile", ".js", ""} and not shown(path).startswith("tests/")
        for line in text.splitlines()
        if not re.search("PaddleX|PaddleDetection", line)  # whose files have such paths too
        for name in SOURCE_PATH.findall(line)
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_no_page_refers_to_files_outside_the_repository():
    assert [shown(page) for page in pages() if "../shared" in page.read_text("utf-8")] == []


def test_the_index_lists_every_page():
    index = (ROOT / "docs/index.md").read_text("utf-8")
    docs = [page for page in pages() if page.parent == ROOT / "docs" and page.name != "index.md"]
    assert [page.name for page in docs if f"({page.name})" not in index] == []
    assert "docs/index.md" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](missing.md)", ["missing.md: no such file"]),
        ("[a](#there)\n\n## There", []),
        ("[a](#there)\n\n```\n## There\n```", ["#there: no such heading"]),
        ("## A `b`: c_d\n\n[a](#a-b-c_d) [b](#a-b-c_d-1)\n\n## A b c_d", []),
        ("![a](https://example.com/a.png)", []),
        ("`[a](missing.md)`", []),
    ],
)
def test_broken_links_are_found(tmp_path, monkeypatch, text, found):
    monkeypatch.setattr("tests.project.test_links.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(text)
    assert broken_links(page) == found

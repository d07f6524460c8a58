"""Modules, names and files that the training code and its pages mention exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = sorted(
    path
    for pattern in ("finetune/**/*.py", "sod/**/*.py", "docs/finetuning.md", "docs/model-card.md")
    for path in ROOT.glob(pattern)
)
MODULE = re.compile(r"(?:`|python -m )((?:finetune|sod|export)(?:\.\w+)+)")
FILE = re.compile(r"`((?:finetune|sod|export|docs|requirements)/[\w./-]*)`")


def exists(reference: str) -> bool:
    """Whether a dotted name is a module, a package, or a name that a module defines; nothing is imported."""
    path, _, name = reference.rpartition(".")
    target = ROOT.joinpath(*reference.split("."))
    if target.is_dir() or target.with_suffix(".py").is_file():
        return True
    module = ROOT.joinpath(*path.split(".")).with_suffix(".py")
    if not module.is_file():
        return False
    tree = ast.parse(module.read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = {target.id for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets
                if isinstance(target, ast.Name)}  # fmt: skip
    return name in defined | assigned


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_text_mentions_exists(text: Path) -> None:
    content = text.read_text(encoding="utf-8")
    assert [name for name in MODULE.findall(content) if not exists(name)] == []
    assert [name for name in FILE.findall(content) if not (ROOT / name).exists()] == []


def test_a_missing_module_is_noticed() -> None:
    assert exists("finetune.variants.VARIANTS")
    assert exists("finetune.training.log.Log")
    assert not exists("finetune.paddledet.model.SHAPES")
    assert not exists("finetune.no_such_module")

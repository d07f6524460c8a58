"""Prints the chart's README.md: `python deploy/helm/readme.py > deploy/helm/triton-sod/README.md`.

Each value of values.yaml has a comment `# -- meaning` on the line above it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "triton-sod"
HEAD = """# triton-sod for Kubernetes

A Helm chart for Kubernetes 1.28 and later. [docs/deployment.md](../../../docs/deployment.md#kubernetes) has the
commands, sizing, upgrades and security. This page is generated from `values.yaml` (`python deploy/helm/readme.py`).

| value | default | meaning |
| --- | --- | --- |
"""
_KEY = re.compile(r"^( *)([A-Za-z]+):")
_MEANING = re.compile(r"^ *# -- (.*)$")


def described(text: str) -> Iterator[tuple[str, str]]:
    """Dotted paths of the values that have a comment, with the comment."""
    parents: list[str] = []
    meaning = ""
    for line in text.splitlines():
        if found := _MEANING.match(line):
            meaning = found[1]
        elif found := _KEY.match(line):
            depth = len(found[1]) // 2
            parents = [*parents[:depth], found[2]]
            if meaning:
                yield ".".join(parents), meaning
            meaning = ""


def main() -> None:
    """Write to standard output."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    print(HEAD, end="")
    for path, meaning in described(text):
        value: Any = values
        for name in path.split("."):
            value = value[name]
        shown = json.dumps(value, ensure_ascii=False)
        print(f"| `{path}` | `{shown}` | {meaning.replace('|', chr(92) + '|')} |")


if __name__ == "__main__":
    main()

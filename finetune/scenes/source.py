"""The drawn scenes as a source of training: every class labelled, the first tenth held out."""

from finetune.data.sources import Source


def scene_part(stem: str) -> str:
    """Drawn scenes: numbers that end in 0 are held out; each is drawn from its own seed."""
    return "held out" if stem.endswith("0") else "train"


SCENES = Source("scenes", frozenset(), scene_part)

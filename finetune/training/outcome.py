"""What a finished training achieved, in words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ADVICE = (
    "look at labels.jpg and curves.png in the training's folder",
    "a smaller RATE",
    "more EPOCHS: a finished training goes on with the same OUT and larger EPOCHS",
    "more images",
)


def outcome(log: Path, name: str, rate: float) -> list[str]:
    """Lines about the best evaluation in a training's log, and what to try if the training did not help.

    Args:
        log: `log.jsonl` of `finetune.training.log.Log`; it has at least one evaluation.
        name: of the model.
        rate: peak learning rate of the training.
    """
    evaluations = [line for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()) if "ap50" in line]
    best = max(reversed(evaluations), key=_ap50)  # the last of several: those weights were kept
    accuracy = f"AP {_figure(best['ap'])}, AP50 {_figure(best['ap50'])} (step {best['step']})"
    lines = [
        f"{name} on the validation images: {accuracy}",
        "AP50 by class: " + ", ".join(f"{c} {_figure(value)}" for c, value in best["classes"].items()),
    ]
    if len(evaluations) > 1 and _ap50(best) == 0:
        lines.append(f"The training found no labelled object. What to try: {_advice(rate)}.")
    elif len(evaluations) > 1 and best["step"] == 0:
        lines.append(
            "Step 0 is the best: the training did not improve on the weights that it began with, and these were "
            f"exported. What to try: {_advice(rate)}."
        )
    return lines


def _advice(rate: float) -> str:
    labels, smaller, *others = _ADVICE
    return "; ".join([labels, f"{smaller} (it was {rate:g})", *others])


def _ap50(line: Mapping[str, Any]) -> float:
    return line["ap50"] if isinstance(line["ap50"], int | float) else -1.0


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"

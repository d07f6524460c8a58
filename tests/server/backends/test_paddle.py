"""Paddle runs a batch in twos, and every image gets its own answer."""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.mark.parametrize(("images", "runs"), [(1, [1]), (2, [2]), (5, [2, 2, 1])])
def test_a_batch_runs_in_twos(
    images: int, runs: list[int], load_backend: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    paddle = ModuleType("paddle")
    monkeypatch.setattr(paddle, "inference", ModuleType("inference"), raising=False)
    monkeypatch.setitem(sys.modules, "paddle", paddle)
    backend = load_backend("paddle")
    seen = []

    def run(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        seen.append(len(pixels))
        return {"boxes": pixels, "scores": pixels + 1}

    model = backend.TritonPythonModel()
    model._predictors = [SimpleNamespace(run=run)]
    pixels = np.arange(images * 12, dtype=np.uint8).reshape(images, 2, 2, 3)
    answer = model._run(pixels)
    assert seen == runs
    assert (answer["boxes"] == pixels).all()
    assert (answer["scores"] == pixels + 1).all()

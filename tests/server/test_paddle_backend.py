"""Paddle runs a batch in twos, and every picture gets its own answer."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.mark.parametrize(("pictures", "runs"), [(1, [1]), (2, [2]), (5, [2, 2, 1])])
def test_a_batch_runs_in_twos(
    pictures: int, runs: list[int], load_backend: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    paddle = ModuleType("paddle")
    monkeypatch.setattr(paddle, "inference", ModuleType("inference"), raising=False)
    monkeypatch.setitem(sys.modules, "paddle", paddle)
    backend = load_backend("paddle")
    seen = []

    def run_few(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        seen.append(len(pixels))
        return {"boxes": pixels, "scores": pixels + 1}

    model = backend.TritonPythonModel()
    model._run_few = run_few
    pixels = np.arange(pictures * 12, dtype=np.uint8).reshape(pictures, 2, 2, 3)
    answer = model._run(pixels)
    assert seen == runs
    assert (answer["boxes"] == pixels).all()
    assert (answer["scores"] == pixels + 1).all()

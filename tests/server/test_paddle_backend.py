"""Paddle runs a batch in twos, and every picture gets its own answer."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

MODEL = Path(__file__).parents[2] / "server" / "backends" / "paddle" / "model.py"


@pytest.mark.parametrize(("pictures", "runs"), [(1, [1]), (2, [2]), (5, [2, 2, 1])])
def test_a_batch_runs_in_twos(pictures: int, runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    paddle = ModuleType("paddle")
    monkeypatch.setattr(paddle, "inference", ModuleType("inference"), raising=False)
    monkeypatch.setitem(sys.modules, "paddle", paddle)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
    monkeypatch.delitem(sys.modules, "sod.triton.requests", raising=False)
    monkeypatch.delitem(sys.modules, "server.backends.batching", raising=False)
    found = importlib.util.spec_from_file_location("paddle_backend", MODEL)
    assert found is not None
    assert found.loader is not None
    backend = importlib.util.module_from_spec(found)
    found.loader.exec_module(backend)
    for name in ("sod.triton.requests", "server.backends.batching"):
        monkeypatch.delitem(sys.modules, name)

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

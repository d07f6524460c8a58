"""The exact calls with which Paddle is told its device, and that the installed Paddle has them."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

START = [("disable_glog_info",), ("enable_new_ir", True), ("enable_new_executor", True)]
END = [("set_cpu_math_library_num_threads", 3), ("enable_memory_optim",)]
DEVICE_CALLS: dict[str, tuple[list[Any], list[Any]]] = {
    "cpu": ([("disable_gpu",)], [("enable_mkldnn",)]),
    "npu": ([("disable_gpu",)], [("enable_custom_device", "npu", 2)]),
    "mlu": ([("disable_gpu",)], [("enable_custom_device", "mlu", 2)]),
    "xpu": ([("disable_gpu",)], [("enable_xpu",), ("set_xpu_device_id", 2)]),
    "dcu": ([("enable_use_gpu", 512, 2)], []),
}


class Recorder:
    """Stands for paddle.inference.Config and writes down what is called."""

    def __init__(self, *files: str) -> None:
        self.files = files
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: self.calls.append((name, *values))


@pytest.fixture
def backend(load_backend: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    paddle = ModuleType("paddle")
    build: dict[str, Any] = {
        "inference": SimpleNamespace(Config=Recorder),
        "device": SimpleNamespace(get_all_custom_device_type=lambda: ["npu"]),
        "is_compiled_with_xpu": lambda: False,
        "is_compiled_with_rocm": lambda: True,
    }
    for name, value in build.items():
        monkeypatch.setattr(paddle, name, value, raising=False)
    monkeypatch.setitem(sys.modules, "paddle", paddle)
    return load_backend("paddle")


@pytest.mark.parametrize("device", DEVICE_CALLS)
def test_the_calls_for_a_device(backend: Any, device: str) -> None:
    before, after = DEVICE_CALLS[device]
    made = backend.predictor_config(Path("m/inference.json"), device, 2, 3)
    assert made.files == ("m/inference.json", "m/inference.pdiparams")
    assert made.calls == before + START + after + END


def test_the_installed_paddle_has_these_calls() -> None:
    paddle = pytest.importorskip("paddle")
    wanted = {
        "enable_custom_device": ["device_type: str", "device_id: int", "precision"],
        "enable_use_gpu": ["memory_pool_init_size_mb: int", "device_id: int"],
        "set_xpu_device_id": ["device_id: int"],
        "enable_xpu": ["l3_size: int"],
    }
    for name, parameters in wanted.items():
        signature = getattr(paddle.inference.Config, name).__doc__
        told = [part.strip() for part in re.split(r"[(,]", signature)][2:]
        assert len(told) >= len(parameters)
        for there, expected in zip(told, parameters, strict=False):
            assert there.startswith(expected), signature
    for before, after in DEVICE_CALLS.values():
        for call in before + START + after + END:
            assert callable(getattr(paddle.inference.Config, call[0]))
    assert paddle.device.get_all_custom_device_type() == []
    assert not paddle.is_compiled_with_xpu()
    assert not paddle.is_compiled_with_rocm()


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("cpu", ""),
        ("npu", ""),
        ("dcu", ""),
        ("mlu", "this build of Paddle has no mlu: install the wheel paddle-custom-mlu from the device's maker"),
        ("xpu", "this build of Paddle has no xpu: install the wheel paddlepaddle-xpu from the device's maker"),
        ("tpu", "the parameter DEVICE is 'tpu': write cpu, npu, xpu, mlu or dcu"),
    ],
)
def test_what_a_build_lacks(backend: Any, device: str, problem: str) -> None:
    assert backend.build_problem(device) == problem


@pytest.mark.parametrize(
    ("chosen", "indices"), [("", (0,)), ("npu", (0,)), ("npu:3", (3,)), ("npu:0,2", (0, 2)), ("mlu:5", (0,))]
)
def test_the_indices(backend: Any, chosen: str, indices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_DEVICE", chosen)
    assert backend.chosen_indices("npu") == indices


@pytest.mark.parametrize(("images", "runs"), [(1, [[1], []]), (4, [[2], [2]]), (7, [[2, 2], [2, 1]])])
def test_two_devices_share_a_batch_in_order(backend: Any, images: int, runs: list[list[int]]) -> None:
    seen: list[list[int]] = [[], []]

    def predictor(number: int) -> Any:
        def run(pixels: Any) -> Any:
            seen[number].append(len(pixels))
            return {"boxes": pixels}

        return SimpleNamespace(run=run)

    model = backend.TritonPythonModel()
    model._predictors = [predictor(0), predictor(1)]
    model._threads = backend.ThreadPoolExecutor(2)
    pixels = np.arange(images * 12, dtype=np.uint8).reshape(images, 2, 2, 3)
    assert (model._run(pixels)["boxes"] == pixels).all()
    assert seen == runs
    model.finalize()

"""OpenVINO's devices: AUTO, HETERO:CPU and MULTI:CPU run here, Intel's GPU and NPU against a stand-in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def backend(load_backend: Callable[[str], Any]) -> Any:
    return load_backend("openvino")


@pytest.fixture
def arguments(tmp_path: Path, backend: Any) -> Callable[[str], dict[str, str]]:
    """What Triton gives to a model that adds 1, on a device."""
    ov = backend.ov
    ops = ov.opset13
    pixels = ops.parameter([-1, 4, 4, 3], np.uint8, name="pixels")
    pixels.output(0).set_names({"pixels"})
    boxes = ops.add(ops.convert(pixels, "f32"), ops.constant(np.float32(1)))
    boxes.output(0).set_names({"boxes"})
    (tmp_path / "1").mkdir()
    ov.save_model(ov.Model([boxes], [pixels]), tmp_path / "1" / "model.xml")

    def make(device: str) -> dict[str, str]:
        config = {
            "name": "m",
            "input": [{"name": "pixels", "dims": [4, 4, 3]}],
            "output": [{"name": "boxes", "dims": [4, 4, 3]}],
            "parameters": {"TARGET_DEVICE": {"string_value": device}},
        }
        return {
            "model_config": json.dumps(config),
            "model_repository": str(tmp_path),
            "model_version": "1",
            "model_instance_kind": "CPU",
            "model_instance_device_id": "0",
        }

    return make


@pytest.mark.parametrize("device", ["CPU", "AUTO", "AUTO:CPU", "HETERO:CPU", "MULTI:CPU"])
def test_it_really_runs(backend: Any, arguments: Any, device: str) -> None:
    model = backend.TritonPythonModel()
    model.initialize(arguments(device))
    pixels = np.arange(2 * 48, dtype=np.uint8).reshape(2, 4, 4, 3)
    assert (model._answer({"pixels": pixels})["boxes"] == pixels.astype(np.float32) + 1).all()
    model.finalize()


class Core:
    """Stands for openvino.Core on a machine with two Intel GPUs and an NPU."""

    available_devices = ("CPU", "GPU.0", "GPU.1", "NPU")

    def get_property(self, device: str, _: str) -> list[str]:
        return ["FP16", "INT8"] if device == "NPU" else ["FP32", "FP16", "INT8"]


@pytest.mark.parametrize("name", ["GPU", "NPU", "GPU.0", "MULTI:GPU.0,GPU.1"])
def test_an_absent_device_names_its_driver(backend: Any, name: str) -> None:
    if any(found.startswith(("GPU", "NPU")) for found in backend.ov.Core().available_devices):
        pytest.skip("this machine has one")
    with pytest.raises(RuntimeError, match=r"OpenVINO finds no device .* only CPU: install Intel's driver"):
        backend.capabilities(backend.ov.Core(), name)


def test_what_a_device_computes_in(backend: Any) -> None:
    assert backend.capabilities(Core(), "GPU") == {"FP32", "FP16", "INT8"}
    assert backend.capabilities(Core(), "MULTI:GPU.0,NPU") == {"FP16", "INT8"}
    with pytest.raises(RuntimeError, match=r"no device GPU\.2 on"):
        backend.capabilities(Core(), "GPU.2")


@pytest.mark.parametrize(
    ("chosen", "configured", "device"),
    [
        ("", "GPU", "GPU"),
        ("intel_gpu", "GPU", "GPU"),
        ("intel_gpu:1", "GPU", "GPU.1"),
        ("intel_gpu:0,1", "GPU", "MULTI:GPU.0,GPU.1"),
        ("intel_npu", "NPU", "NPU"),
        ("intel_gpu:1", "CPU", "CPU"),
    ],
)
def test_the_name_of_the_device(
    backend: Any, monkeypatch: pytest.MonkeyPatch, chosen: str, configured: str, device: str
) -> None:
    monkeypatch.setenv("SOD_DEVICE", chosen)
    assert backend.target_device(configured) == device


def test_an_npu_computes_in_fp16_and_a_gpu_in_fp32(backend: Any, arguments: Any) -> None:
    config = backend.ModelConfig(arguments("NPU"))
    precision = backend.properties.hint.inference_precision()
    assert backend._properties(config, backend.capabilities(Core(), "NPU"))[precision] == backend.ov.Type.f16
    assert backend._properties(config, backend.capabilities(Core(), "GPU"))[precision] == backend.ov.Type.f32

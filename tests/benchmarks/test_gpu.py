"""`sod bench gpu` with ONNX Runtime on the CPU in place of CUDA; its figures are not those of a GPU."""

import json
import shutil
import sys
from pathlib import Path

import onnxruntime
import pytest

from benchmarks import gpu
from export.verification.images import synthetic_image

REPOSITORY = Path(__file__).parents[2] / "model_repository"


class CpuForCuda:
    """The module onnxruntime, whose CUDA provider runs on the CPU."""

    get_available_providers = staticmethod(lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])

    class OrtValue:
        @staticmethod
        def ortvalue_from_numpy(array, _device, _number):
            return onnxruntime.OrtValue.ortvalue_from_numpy(array, "cpu", 0)

    class InferenceSession:
        def __init__(self, model, providers):
            self._session = onnxruntime.InferenceSession(model, providers=providers[1:])

        def get_providers(self):
            return ["CUDAExecutionProvider"]

        def io_binding(self):
            binding = self._session.io_binding()
            bind = binding.bind_output
            binding.bind_output = lambda name, _device: bind(name, "cpu")
            return binding

        def __getattr__(self, name):
            return getattr(self._session, name)


@pytest.fixture
def image(tmp_path) -> Path:
    import cv2

    path = tmp_path / "image.jpg"
    cv2.imwrite(str(path), synthetic_image(200, 300))
    return path


def test_all_tables(tmp_path, image, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", CpuForCuda)
    folder = tmp_path / "models/demo_detector/1"
    folder.mkdir(parents=True)
    for name in ("model.onnx", "model_fp16.onnx"):
        shutil.copy(REPOSITORY / "PP-YOLOE_plus_SOD-demo_detector/1/model.onnx", folder / name)
    out = tmp_path / "gpu.json"
    words = [str(image), "--models", "demo", "--model-repository", str(tmp_path / "models")]
    assert gpu.main([*words, "--batches", "1", "2", "--warm-up", "1", "--turns", "1", "--json", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| demo, FP16 | ") for line in lines) == 3
    results = json.loads(out.read_text())
    assert results["demo, FP16"]["matched"] == 1
    assert results["demo, FP32"]["batches"]["2"]["images_a_second"] > 0
    assert results["demo, FP32"]["nms_graph_ms"] > 0


def test_without_a_gpu_it_ends_with_one_sentence(image, capsys):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    assert gpu.main([str(image)]) == 1
    assert "onnxruntime has no CUDA provider" in capsys.readouterr().err

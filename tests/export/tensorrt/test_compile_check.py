"""TensorRT's parser and compiler on this machine, for GPUs that it does not have."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from export.cli import main
from export.errors import CheckFailedError, ExportError
from export.onnx.fp16 import to_fp16
from export.tensorrt.compile_check import check_compiles
from tests.export.conftest import DEMO, ROOT


@pytest.fixture(scope="module")
def demo_fp16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "model_fp16.onnx"
    onnx.save(to_fp16(onnx.load(DEMO)), path)
    return path


@pytest.mark.parametrize("capability", ["SM75", "SM86"])
def test_the_demo_compiles(demo_fp16: Path, capability: str) -> None:
    report = check_compiles(demo_fp16, capability)
    assert report.engine_bytes > 5_000_000
    assert report.layers > 300
    # Only the intended layers are FP32.
    assert set(report.fp32_layers) >= {"normalization", "softmax", "reduce"}
    assert report.fp32_layers["convolution"] == 3
    assert "matrix_multiply" not in report.fp32_layers
    assert report.warnings == ()
    assert f"compiled the detector for {capability}" in str(report)


@pytest.mark.slow
def test_the_full_size_model_compiles_for_a_t4(exported_full: Path) -> None:
    report = check_compiles(exported_full / "model_fp16.onnx")
    assert 40_000_000 < report.engine_bytes < 60_000_000
    assert report.warnings == ()


def test_fp32_does_not_compile_for_a_t4() -> None:
    with pytest.raises(CheckFailedError, match=r"cannot compile the detector for SM75: .*FP32 GEMM is not supported"):
        check_compiles(DEMO)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy")
    node = helper.make_node("FancyNms", ["x"], ["y"], name="the_end", domain="somewhere")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("somewhere", 1)]
    onnx.save(helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets), tmp_path / "m.onnx")
    with pytest.raises(CheckFailedError, match=r"cannot parse m\.onnx: .*FancyNms the_end"):
        check_compiles(tmp_path / "m.onnx")


def test_an_unknown_gpu_and_an_absent_file(demo_fp16: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not support the GPU SM42; it supports SM75, SM80"):
        check_compiles(demo_fp16, "SM42")
    with pytest.raises(ExportError, match=r"absent\.onnx is missing: run `make export TARGET=onnx PRECISION=fp16"):
        check_compiles(tmp_path / "absent.onnx")


def test_an_installed_model_is_checked_without_paddle(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--target", "tensorrt-check", "--name", "PP-YOLOE_plus_SOD-demo"]
    assert main([*arguments, "--output_dir", str(ROOT / "model_repository")]) == 0
    said = capfd.readouterr()
    assert "compiled the detector for SM75" in said.err
    assert said.out == ""


def test_the_tiny_model_compiles(small_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model_dir", str(small_model), "--output_dir", str(tmp_path / "r"), "--target", "tensorrt-check"]
    assert main(arguments) == 0
    assert "compiled the detector for SM75" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == [], "a compile check installs nothing"

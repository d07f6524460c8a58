"""The plan without a GPU and without `tensorrt`: built by TensorRT for RTX, run by a fake of TensorRT and CUDA."""

import ctypes
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export import tensorrt_export
from export.cli import main
from export.errors import ExportError
from export.onnx.fp16 import to_fp16
from export.precision import Target
from export.request import ExportRequest
from export.tensorrt.onnx_network import profile_batches
from export.tensorrt.plan import build_plan, import_tensorrt, read_max_batch
from export.tensorrt.plan_runner import Cuda, plan_detector
from export.verification.reference import Reference, load_reference
from tests.export.conftest import DEMO, ROOT

NAME = "PP-YOLOE_plus_SOD-demo"


@pytest.mark.parametrize(("largest", "batches"), [(1, (1, 1, 1)), (2, (1, 1, 2)), (4, (1, 2, 4)), (8, (1, 4, 8))])
def test_profile_batches(largest: int, batches: tuple[int, int, int]) -> None:
    assert profile_batches(largest) == batches


def test_a_profile_without_a_batch_is_refused() -> None:
    with pytest.raises(ExportError, match="the maximum batch size is 0"):
        profile_batches(0)


def test_the_maximum_batch_is_that_of_the_configuration(tmp_path: Path) -> None:
    repository = ROOT / "model_repository"
    assert read_max_batch(repository / f"{NAME}_detector") == 8
    assert read_max_batch(repository / "PP-YOLOE_plus_SOD-largesize-L_detector") == 4
    assert read_max_batch(tmp_path) == 8


def test_without_tensorrt_the_error_says_where_to_build(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(["--target", "tensorrt", "--name", NAME]) == 2
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("export failed: the Python package tensorrt is not installed: build the plan inside")


def test_an_old_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", types.SimpleNamespace(__version__="8.6.1"))
    with pytest.raises(ExportError, match=r"TensorRT 8\.6\.1 is too old"):
        import_tensorrt()


@pytest.fixture
def trt() -> Any:
    """TensorRT for RTX as `tensorrt`; its builder gets a GPU, because this machine has none."""
    bindings = pytest.importorskip("tensorrt_rtx_bindings")

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.builder = bindings.Builder(logger)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.builder, name)

        def create_builder_config(self) -> Any:
            config = self.builder.create_builder_config()
            config.num_compute_capabilities = 1
            config.set_compute_capability(bindings.ComputeCapability.SM75, 0)
            return config

    names = {name: getattr(bindings, name) for name in dir(bindings) if not name.startswith("__")}
    return types.SimpleNamespace(**{**names, "Builder": Builder, "__version__": bindings.__version__})


# TensorRT for RTX does not time anything: it accepts a timing cache with a deprecation warning.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_plan_is_built_and_timings_are_kept(trt: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    half, plan = tmp_path / "model_fp16.onnx", tmp_path / "model.plan"
    onnx.save(to_fp16(onnx.load(DEMO)), half)
    for _ in range(2):  # the second build reads the timings of the first
        with caplog.at_level("INFO", "export"):
            build_plan(trt, half, plan, 4, tmp_path / "cache")
        assert plan.stat().st_size > 5_000_000
    assert len(list((tmp_path / "cache").glob("tensorrt-*.timing"))) == 1
    assert "building for the batches 1, 2, 4" in caplog.text


class FakeRuntimeLibrary:
    """The CUDA runtime, with host memory in place of device memory."""

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.status = 0

    def cudaMalloc(self, address: Any, size: Any) -> int:  # noqa: N802
        memory = ctypes.create_string_buffer(size.value)
        address._obj.value = ctypes.addressof(memory)
        self.held[ctypes.addressof(memory)] = memory
        return self.status

    def cudaFree(self, address: Any) -> int:  # noqa: N802
        del self.held[address.value]
        return 0

    def cudaMemcpy(self, target: Any, source: Any, size: Any, _kind: int) -> int:  # noqa: N802
        ctypes.memmove(target, source, size.value)
        return 0

    def cudaDeviceSynchronize(self) -> int:  # noqa: N802
        return 0


class FakeContext:
    """Outputs the first pixel's red as boxes, and its green / 255 as scores."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()
        self.runs = True

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.shape[0], 5, 4) if name == "boxes" else (self.shape[0], 2, 5)

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, _stream: int) -> bool:
        size = int(np.prod(self.shape))
        pixels = np.frombuffer((ctypes.c_uint8 * size).from_address(self.addresses["pixels"]), np.uint8)
        pixels = pixels.reshape(self.shape)
        for name, channel, scale in (("boxes", 0, 1), ("scores", 1, 255)):
            shape = self.get_tensor_shape(name)
            memory = (ctypes.c_float * int(np.prod(shape))).from_address(self.addresses[name])
            answer = np.frombuffer(memory, np.float32).reshape(shape)
            answer[...] = pixels[:, 0, 0, channel].reshape(-1, 1, 1) / scale
        return self.runs


def fake_tensorrt(context: FakeContext | None) -> Any:
    engine = types.SimpleNamespace(create_execution_context=lambda: context) if context else None
    runtime = types.SimpleNamespace(deserialize_cuda_engine=lambda _plan: engine)
    return types.SimpleNamespace(__version__="11.4.0", Runtime=lambda _logger: runtime, ILogger=type("ILogger", (), {}))


def fake_pixels() -> np.ndarray:  # type: ignore[type-arg]
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    pixels[:, 0, 0] = [[10, 255, 0], [20, 51, 0]]
    return pixels


def test_a_plan_is_run_through_the_cuda_runtime(tmp_path: Path) -> None:
    (tmp_path / "model.plan").write_bytes(b"plan")
    library = FakeRuntimeLibrary()
    detector = plan_detector(fake_tensorrt(FakeContext()), tmp_path / "model.plan", Cuda(library))
    boxes, scores = detector(fake_pixels())
    assert boxes.shape == (2, 5, 4)
    assert scores.shape == (2, 2, 5)
    np.testing.assert_array_equal(boxes[:, 0, 0], [10, 20])
    np.testing.assert_allclose(scores[:, 0, 0], [1, 0.2])
    assert not library.held, "device memory is freed"


def test_a_plan_that_does_not_load_or_run_is_an_export_error(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"plan")
    with pytest.raises(ExportError, match=r"cannot load model\.plan"):
        plan_detector(fake_tensorrt(None), plan, Cuda(FakeRuntimeLibrary()))
    context, library = FakeContext(), FakeRuntimeLibrary()
    context.runs = False
    with pytest.raises(ExportError, match=r"cannot run model\.plan"):
        plan_detector(fake_tensorrt(context), plan, Cuda(library))(fake_pixels())
    assert not library.held
    library.status = 35
    with pytest.raises(ExportError, match="cudaMalloc failed with CUDA error 35"):
        plan_detector(fake_tensorrt(context), plan, Cuda(library))(fake_pixels())


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExportRequest:
    """A repository with an FP16 detector and its reference, and a fake TensorRT that builds any plan."""
    version = tmp_path / "r" / "m_detector" / "1"
    version.mkdir(parents=True)
    (version / "model_fp16.onnx").write_bytes(b"half")
    request = ExportRequest(tmp_path / "r", [Target.TENSORRT], cache_dir=tmp_path / "c")
    boxes = np.broadcast_to(np.float32([[[10]], [[20]]]), (2, 5, 4))
    scores = np.broadcast_to(np.float32([[[1]], [[0.2]]]), (2, 2, 5))
    reference = Reference(fake_pixels(), boxes, scores, "Paddle")
    reference.save(request.reference_path("m"), {"model_fp16.onnx": version / "model_fp16.onnx"})
    fake = fake_tensorrt(FakeContext())
    monkeypatch.setattr(tensorrt_export, "import_tensorrt", lambda: fake)
    monkeypatch.setattr(
        tensorrt_export, "build_plan", lambda _trt, _onnx, plan, _batch, _cache: plan.write_bytes(b"plan")
    )
    monkeypatch.setattr(
        tensorrt_export, "plan_detector", lambda trt, plan: plan_detector(trt, plan, Cuda(FakeRuntimeLibrary()))
    )
    return request


def test_a_plan_that_agrees_with_the_reference_is_installed(request_: ExportRequest) -> None:
    result = tensorrt_export.export_plan("m", request_)
    assert result.installed == [request_.output_dir / "m_detector" / "1" / "model.plan"]
    assert result.accuracy[0].passed
    assert not result.failures


def test_a_plan_that_differs_is_not_installed(request_: ExportRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    version = request_.output_dir / "m_detector" / "1"
    (version / "model.plan").write_bytes(b"old")
    real = FakeContext.execute_async_v3

    def wrong(self: FakeContext, stream: int) -> bool:
        done = real(self, stream)
        (ctypes.c_float * 1).from_address(self.addresses["boxes"])[0] = 1000
        return done

    monkeypatch.setattr(FakeContext, "execute_async_v3", wrong)
    result = tensorrt_export.export_plan("m", request_)
    assert result.installed == []
    assert "model.plan in TensorRT: box" in result.failures[0]
    assert (version / "model.plan").read_bytes() == b"old"


def test_a_reference_of_another_detector_is_refused(request_: ExportRequest) -> None:
    half = request_.output_dir / "m_detector" / "1" / "model_fp16.onnx"
    half.write_bytes(b"another")
    with pytest.raises(ExportError, match=r"is the reference of another model_fp16\.onnx"):
        tensorrt_export.export_plan("m", request_)
    with pytest.raises(ExportError, match="is missing: run `make export TARGET=onnx`"):
        load_reference(request_.cache_dir / "none.npz", half)
    (request_.cache_dir / "none.npz").write_bytes(b"no archive")
    with pytest.raises(ExportError, match="cannot be read"):
        load_reference(request_.cache_dir / "none.npz", half)

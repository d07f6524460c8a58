"""Builds a TensorRT plan from the FP16 ONNX detector, with the `tensorrt` of the Triton image that will load it.

A plan loads only in the TensorRT version and on the kind of GPU that it was built with. Therefore
`python -m export --target tensorrt --name NAME` runs inside that image. It needs NumPy, OpenCV and `tensorrt`, but no
Paddle: the images and Paddle's outputs come from the reference that `--target onnx` wrote to the cache.
"""

import importlib
import logging
import re
from pathlib import Path
from typing import Any

from export.errors import CheckFailedError, ExportError
from export.tensorrt.onnx_network import first_sentence, parse_onnx, profile_batches

LOG = logging.getLogger(__name__)
WORKSPACE = 4 << 30  # bytes; a T4 has 16 GB
_MIN_VERSION = 10  # the first with strongly typed networks and `execute_async_v3`


def import_tensorrt() -> Any:
    """Import the `tensorrt` module.

    Raises:
        ExportError: it is not installed, or too old.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise ExportError(
            "the Python package tensorrt is not installed: build the plan inside the Triton image that will load it "
            "(docs/export.md); TARGET=tensorrt-check runs TensorRT's compiler on any machine"
        ) from error
    if int(trt.__version__.split(".")[0]) < _MIN_VERSION:
        raise ExportError(f"TensorRT {trt.__version__} is too old: {_MIN_VERSION} or later is required")
    return trt


def build_plan(trt: Any, onnx_path: Path, plan_path: Path, max_batch: int, cache_dir: Path) -> None:
    """Build a plan for the GPU of this machine.

    Args:
        trt: of `import_tensorrt`.
        onnx_path: the FP16 detector.
        plan_path: the file to write.
        max_batch: Triton's `max_batch_size`.
        cache_dir: keeps the timing cache for later builds.

    Raises:
        CheckFailedError: TensorRT cannot parse or build the network.
        ExportError: a file cannot be read or written.
    """
    parsed = parse_onnx(trt, onnx_path)
    config = parsed.builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.progress_monitor = _progress_monitor(trt)
    pixels = parsed.network.get_input(0)
    profile = parsed.builder.create_optimization_profile()
    shapes = [[batch, *list(pixels.shape)[1:]] for batch in profile_batches(max_batch)]
    profile.set_shape(pixels.name, *shapes)
    config.add_optimization_profile(profile)
    timing_path = cache_dir / f"tensorrt-{trt.__version__}.timing"
    timings = config.create_timing_cache(timing_path.read_bytes() if timing_path.is_file() else b"")
    # TensorRT rejects timings of another kind of GPU; then the cache starts empty.
    if not config.set_timing_cache(timings, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    LOG.info("building for the batches %s; this takes minutes", ", ".join(str(shape[0]) for shape in shapes))
    plan = parsed.builder.build_serialized_network(parsed.network, config)
    for warning in parsed.messages.warnings:
        LOG.info("  TensorRT: %s", warning)
    if plan is None:
        reason = first_sentence(parsed.messages.errors) or "it gives no reason"
        raise CheckFailedError(f"TensorRT {trt.__version__} cannot build the plan: {reason}")
    try:
        plan_path.write_bytes(plan)
        cache_dir.mkdir(parents=True, exist_ok=True)
        timing_path.write_bytes(config.get_timing_cache().serialize())
    except OSError as error:
        raise ExportError(f"{error.filename} cannot be written: {error.strerror}") from error


def read_max_batch(detector_dir: Path, default: int = 8) -> int:
    """Read `max_batch_size` from the detector's config.pbtxt; `default` if it has none."""
    path = detector_dir / "config.pbtxt"
    found = re.search(r"^max_batch_size\s*:\s*(\d+)", path.read_text(), re.MULTILINE) if path.is_file() else None
    return int(found.group(1)) if found else default


def _progress_monitor(trt: Any) -> Any:
    """A progress monitor that logs the builder's outermost phases as they begin."""

    class Progress(trt.IProgressMonitor):  # type: ignore[misc]  # `trt` is a module at run time only
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            if parent is None:
                LOG.info("  %s (%d steps)", name, steps)

        def step_complete(self, _name: str, _step: int) -> bool:
            return True  # False would cancel the build

        def phase_finish(self, name: str) -> None:
            pass

    return Progress()

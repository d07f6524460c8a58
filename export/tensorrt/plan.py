"""FP16 ONNX → TensorRT plan, with the `tensorrt` of the Triton image that will load it.

A plan loads in the TensorRT version that made it, on the kind of GPU that it was made on: so this is run there, as
`python -m export --target tensorrt --name NAME`. It needs NumPy, OpenCV and `tensorrt`, and no Paddle: the images and
what Paddle Inference said of them come from the reference that `--target onnx` left in the cache.
"""

import importlib
import logging
import re
from pathlib import Path
from typing import Any

from export.errors import CheckFailedError, ExportError
from export.tensorrt.network import Parsed, first_sentence, parse_onnx, profile_batches

LOG = logging.getLogger(__name__)
WORKSPACE = 4 << 30  # bytes; a T4 has 16 GB
_SINCE = 10  # of TensorRT: strongly typed networks, `execute_async_v3`


def import_tensorrt() -> Any:
    """The `tensorrt` module.

    Raises:
        ExportError: it is not installed, or too old.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise ExportError(
            "the Python package tensorrt is not installed: build the plan inside the Triton image that will load it "
            "(docs/export.md); TARGET=tensorrt-check asks TensorRT's compiler on any machine"
        ) from error
    if int(trt.__version__.split(".")[0]) < _SINCE:
        raise ExportError(f"TensorRT {trt.__version__} is too old: {_SINCE} or later is needed")
    return trt


def build_plan(trt: Any, onnx_path: Path, plan_path: Path, max_batch: int, cache_dir: Path) -> None:
    """Build a plan for the GPU of this machine.

    Args:
        trt: of `import_tensorrt`.
        onnx_path: the FP16 detector.
        plan_path: written.
        max_batch: Triton's `max_batch_size`.
        cache_dir: holds the timing cache from one build to the next.

    Raises:
        CheckFailedError: TensorRT refuses the network.
        ExportError: a file cannot be read or written.
    """
    parsed = parse_onnx(trt, onnx_path)
    config = parsed.builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.progress_monitor = _progress(trt)
    pixels = parsed.network.get_input(0)
    profile = parsed.builder.create_optimization_profile()
    shapes = [[batch, *list(pixels.shape)[1:]] for batch in profile_batches(max_batch)]
    profile.set_shape(pixels.name, *shapes)
    config.add_optimization_profile(profile)
    timing_path = cache_dir / f"tensorrt-{trt.__version__}.timing"
    timings = config.create_timing_cache(timing_path.read_bytes() if timing_path.is_file() else b"")
    # What was timed on another kind of GPU is refused, and begun anew.
    if not config.set_timing_cache(timings, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    LOG.info("building for batches %s; minutes", ", ".join(str(shape[0]) for shape in shapes))
    plan = parsed.builder.build_serialized_network(parsed.network, config)
    _say(parsed)
    if plan is None:
        said = first_sentence(parsed.messages.errors) or "it gives no reason"
        raise CheckFailedError(f"TensorRT {trt.__version__} cannot build the plan: {said}")
    try:
        plan_path.write_bytes(plan)
        cache_dir.mkdir(parents=True, exist_ok=True)
        timing_path.write_bytes(config.get_timing_cache().serialize())
    except OSError as error:
        raise ExportError(f"{error.filename} cannot be written: {error.strerror}") from error


def read_max_batch(detector_dir: Path, default: int = 8) -> int:
    """`max_batch_size` of the detector's config.pbtxt."""
    path = detector_dir / "config.pbtxt"
    found = re.search(r"^max_batch_size\s*:\s*(\d+)", path.read_text(), re.MULTILINE) if path.is_file() else None
    return int(found.group(1)) if found else default


def _say(parsed: Parsed) -> None:
    for warning in parsed.messages.warnings:
        LOG.info("  TensorRT: %s", warning)


def _progress(trt: Any) -> Any:
    """Says the builder's outermost phases as they begin."""

    class Progress(trt.IProgressMonitor):  # type: ignore[misc]  # `trt` is a module at run time only
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            if parent is None:
                LOG.info("  %s (%d steps)", name, steps)

        def step_complete(self, _name: str, _step: int) -> bool:
            return True  # False would end the build

        def phase_finish(self, name: str) -> None:
            pass

    return Progress()

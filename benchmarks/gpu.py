"""Measure the detector on a CUDA GPU in FP32 (`model.onnx`) and FP16 (`model_fp16.onnx`).

For each model and precision: latency and throughput by batch size, the share of the time that transfers take, the
objects in common with FP32, and NMS on the CPU compared with ONNX's NonMaxSuppression on the GPU. It needs an NVIDIA
GPU and onnxruntime-gpu (`pip install onnxruntime-gpu`).
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.performance.errors import BenchmarkError
from sod.errors import SodError
from sod.image import decode_image, scale_factor, to_pixels
from sod.matching import matched_share
from sod.nms import NmsConfig, multiclass_nms

_REPOSITORY = Path(__file__).parents[1] / "model_repository"
_FILES = {"FP32": "model.onnx", "FP16": "model_fp16.onnx"}
CUDA = "CUDAExecutionProvider"
_BATCHES = (1, 2, 4, 8)
_THRESHOLD = 0.5
_OUTPUTS = ("boxes", "scores")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.gpu") -> int:
    """Measure and print Markdown.

    Returns:
        0; 1 with a message on stderr if the measurement is impossible.
    """
    options = _parser(prog).parse_args(arguments)
    try:
        ort = load_onnxruntime()
        results = {
            f"{model}, {precision}": _measure(ort, folder / file, options)
            for model in options.models
            for folder in [options.model_repository / f"{model}_detector/1"]
            for precision, file in _FILES.items()
        }
        for model in options.models:
            _compare(results[f"{model}, FP32"], results[f"{model}, FP16"])
    except (BenchmarkError, SodError, OSError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    print(markdown(results))
    if options.json:
        plain = {name: {key: one[key] for key in one if key != "objects"} for name, one in results.items()}
        options.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return 0


def load_onnxruntime(provider: str = CUDA) -> Any:
    """The module, with what the provider needs.

    Raises:
        BenchmarkError: it is not installed, or has no such provider.
    """
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError:
        raise BenchmarkError("onnxruntime is not installed: pip install onnxruntime-gpu") from None
    if provider not in onnxruntime.get_available_providers():
        raise BenchmarkError(
            "onnxruntime has no CUDA provider: it needs an NVIDIA GPU and `pip install onnxruntime-gpu`"
        )
    if provider == CUDA and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds CUDA and cuDNN in NVIDIA's wheels
    return onnxruntime


def open_session(ort: Any, model: str | bytes, provider: str = CUDA) -> Any:
    """Load a model.

    Raises:
        BenchmarkError: the provider does not start.
    """
    session = ort.InferenceSession(model, providers=list(dict.fromkeys([provider, "CPUExecutionProvider"])))
    # Without CUDA's libraries ONNX Runtime silently uses the CPU.
    if session.get_providers()[0] != provider:
        raise BenchmarkError("onnxruntime could not start CUDA: its messages are above")
    return session


def _measure(ort: Any, file: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one model file; `markdown` documents the result.

    Raises:
        BenchmarkError: the file is missing, or CUDA cannot be used.
    """
    if not file.is_file():
        raise BenchmarkError(f"{file} is missing: make export TARGET=onnx creates it")
    session = open_session(ort, str(file))
    height, width = session.get_inputs()[0].shape[1:3]
    image = decode_image(options.image.read_bytes())
    pixels = to_pixels(image, (height, width))
    factor = scale_factor(image, (height, width))
    by_batch: dict[str, Any] = {}
    for batch in options.batches:
        images = np.ascontiguousarray(np.broadcast_to(pixels, (batch, *pixels.shape)))
        whole = _median_ms(partial(session.run, list(_OUTPUTS), _feed(session, images)), options)
        inside = _median_ms(_on_device(ort, session, images), options)
        by_batch[str(batch)] = {
            "whole_ms": round(whole, 3),
            "inside_ms": round(inside, 3),
            "images_a_second": round(1e3 * batch / whole, 2),
            "transfers": round(max(0.0, 1 - inside / whole), 4),
        }
    boxes, scores = session.run(list(_OUTPUTS), _feed(session, pixels[None]))
    threshold = np.full(scores.shape[1], _THRESHOLD, np.float32)
    on_cpu = _median_ms(lambda: multiclass_nms(boxes[0], scores[0], threshold, factor), options)
    return {
        "batches": by_batch,
        "nms_cpu_ms": round(on_cpu, 3),
        "nms_graph_ms": _graph_nms(ort, boxes, scores, options),
        "objects": multiclass_nms(boxes[0], scores[0], threshold, factor),
    }


def _feed(session: Any, images: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    return {session.get_inputs()[0].name: images}


def _on_device(ort: Any, session: Any, images: NDArray[np.uint8]) -> Callable[[], None]:
    """A function that runs the network with input and outputs in GPU memory, without transfers."""
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, ort.OrtValue.ortvalue_from_numpy(images, "cuda", 0))
    for name in _OUTPUTS:
        binding.bind_output(name, "cuda")

    def run() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


def _graph_nms(ort: Any, boxes: NDArray[np.float32], scores: NDArray[np.float32], options: argparse.Namespace) -> float:
    """Milliseconds of ONNX's NonMaxSuppression alone with inputs on the GPU. Ties apart, it keeps Paddle's boxes."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - installed with the extra `export`

    config = NmsConfig()
    constants = [
        helper.make_tensor("per_class", TensorProto.INT64, [1], [config.keep_top_k]),
        helper.make_tensor("iou", TensorProto.FLOAT, [1], [config.iou_threshold]),
        helper.make_tensor("score", TensorProto.FLOAT, [1], [_THRESHOLD]),
    ]
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "per_class", "iou", "score"], ["chosen"])
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(array.shape))
        for name, array in (("boxes", boxes), ("scores", scores))
    ]
    output = helper.make_tensor_value_info("chosen", TensorProto.INT64, [None, 3])
    graph = helper.make_graph([node], "nms", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = open_session(ort, model.SerializeToString())
    binding = session.io_binding()
    for name, array in (("boxes", boxes), ("scores", scores)):
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, "cuda", 0))
    binding.bind_output("chosen", "cpu")
    return round(_median_ms(lambda: session.run_with_iobinding(binding), options), 3)


def _median_ms(run: Callable[[], object], options: argparse.Namespace) -> float:
    times = []
    for turn in range(-options.warm_up, options.turns):
        started = time.perf_counter()
        run()
        if turn >= 0:
            times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def _compare(fp32: dict[str, Any], fp16: dict[str, Any]) -> None:
    fp32["matched"], fp16["matched"] = 1.0, round(matched_share(fp32["objects"], fp16["objects"]), 4)


def markdown(results: dict[str, Any]) -> str:
    """Two tables: latency and throughput by batch size, and NMS.

    Args:
        results: by model and precision, a dict with `batches` (by batch size: `whole_ms` with transfers, `inside_ms`
            without, `images_a_second`, `transfers` as a share of the time), `nms_cpu_ms`, `nms_graph_ms`, and
            `matched`, the share of objects in common with FP32.
    """
    lines = [
        "| model | batch | ms | without transfers, ms | images/s | transfers |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for title, one in results.items():
        lines += [
            f"| {title} | {batch} | {row['whole_ms']:.2f} | {row['inside_ms']:.2f} | {row['images_a_second']:.1f} | "
            f"{row['transfers']:.0%} |"
            for batch, row in one["batches"].items()
        ]
    lines += ["", "| model | NMS on the CPU, ms | in the graph, ms | objects in common with FP32 |"]
    lines += ["| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {title} | {one['nms_cpu_ms']:.2f} | {one['nms_graph_ms']:.2f} | {one['matched']:.1%} |"
        for title, one in results.items()
    ]
    return "\n".join(lines)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Measure the detector on a CUDA GPU in FP32 and FP16.")
    parser.add_argument("image", type=Path, help="JPEG, PNG, WebP, BMP or TIFF")
    parser.add_argument("--models", nargs="+", metavar="NAME", default=["PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-L"])
    parser.add_argument("--model-repository", type=Path, default=_REPOSITORY, metavar="DIR")
    parser.add_argument("--batches", type=int, nargs="+", default=list(_BATCHES), metavar="N")
    parser.add_argument("--warm-up", type=int, default=10, help="number of runs before the measured ones (default: 10)")
    parser.add_argument("--turns", type=int, default=100, help="number of measured runs (default: 100)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())

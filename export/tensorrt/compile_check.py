"""Checks that TensorRT compiles the FP16 detector for a given GPU, on a machine without one.

TensorRT for RTX (the wheels `tensorrt-rtx-cu12-*`) has the same ONNX parser, and a compiler that needs no GPU. Triton
cannot load its engines: they are discarded.
"""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.errors import CheckFailedError, ExportError
from export.tensorrt.onnx_network import first_sentence, parse_onnx, profile_batches

TURING = "SM75"  # NVIDIA T4


@dataclass(frozen=True, slots=True)
class CompileReport:
    """The result of a successful compilation.

    Attributes:
        capability: the GPU's compute capability, for example "SM75".
        version: of the compiler.
        layers: number of layers of the parsed network.
        fp32_layers: number of layers with an FP32 output by kind, without casts.
        engine_bytes: size of the engine.
        seconds: time to parse and compile.
        warnings: of the parser and the compiler.
    """

    capability: str
    version: str
    layers: int
    fp32_layers: dict[str, int]
    engine_bytes: int
    seconds: float
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        """The summary for the terminal."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.fp32_layers.items())
        lines = [
            f"TensorRT for RTX {self.version} compiled the detector for {self.capability} in {self.seconds:.1f} s: "
            f"{self.layers} layers, none unsupported, engine {self.engine_bytes / 1e6:.1f} MB",
            f"  FP32 layers ({sum(self.fp32_layers.values())}): {kinds or 'none'}",
            *(f"  warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


def check_compiles(onnx_path: Path, capability: str = TURING, max_batch: int = 8) -> CompileReport:
    """Parse the detector and compile it for a GPU, which need not be in this machine.

    Args:
        onnx_path: an FP16 detector.
        capability: a name of TensorRT's ComputeCapability, for example "SM86".
        max_batch: the maximum batch of the optimisation profile.

    Raises:
        CheckFailedError: the parser or the compiler does not support an operator on that GPU.
        ExportError: the compiler is not installed, or does not support that GPU.
    """
    trt = _import_tensorrt_rtx()
    compute_capability = getattr(trt.ComputeCapability, capability, None)
    if compute_capability is None or capability in ("NONE", "CURRENT"):
        known = ", ".join(name for name in trt.ComputeCapability.__members__ if name.startswith("SM"))
        raise ExportError(
            f"TensorRT for RTX {trt.__version__} does not support the GPU {capability}; it supports {known}"
        )
    start = time.monotonic()
    parsed = parse_onnx(trt, onnx_path)
    config = parsed.builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(compute_capability, 0)
    profile = parsed.builder.create_optimization_profile()
    pixels = parsed.network.get_input(0)
    size = list(pixels.shape)[1:]
    profile.set_shape(pixels.name, *([batch, *size] for batch in profile_batches(max_batch)))
    config.add_optimization_profile(profile)
    engine = parsed.builder.build_serialized_network(parsed.network, config)
    if engine is None:
        reason = first_sentence(parsed.messages.errors) or "it gives no reason"
        raise CheckFailedError(
            f"TensorRT for RTX {trt.__version__} cannot compile the detector for {capability}: {reason}"
        )
    return CompileReport(
        capability,
        trt.__version__,
        parsed.network.num_layers,
        _fp32_layers(trt, parsed.network),
        engine.nbytes,
        time.monotonic() - start,
        tuple(parsed.messages.warnings),
    )


def _fp32_layers(trt: Any, network: Any) -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.num_outputs and layer.get_output(0).dtype == trt.float32 and layer.type != trt.LayerType.CAST:
            kinds[layer.type.name.lower()] += 1
    return dict(kinds.most_common())


def _import_tensorrt_rtx() -> Any:
    try:
        import tensorrt_rtx_bindings  # noqa: PLC0415  (hundreds of MB, used only here)
    except ImportError as error:
        raise ExportError(f"TensorRT for RTX cannot be imported ({error}): install requirements/export.lock") from error
    return tensorrt_rtx_bindings

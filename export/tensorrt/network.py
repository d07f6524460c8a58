"""What `tensorrt` and `tensorrt-rtx` share: a strongly typed network parsed from ONNX, and what was said of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.errors import CheckFailedError, ExportError


@dataclass(frozen=True, slots=True)
class Messages:
    """What TensorRT logged, in order, each once."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A network and what keeps it alive; `data` backs weights that TensorRT does not copy."""

    builder: Any
    network: Any
    messages: Messages
    data: tuple[Any, ...]


def parse_onnx(trt: Any, path: Path) -> Parsed:
    """Parse an ONNX file to a strongly typed network.

    Args:
        trt: the module, `tensorrt` or `tensorrt_rtx_bindings`.
        path: the file.

    Raises:
        CheckFailedError: the parser refuses it; the text names the operators.
        ExportError: there is no such file.
    """
    if not path.is_file():
        raise ExportError(f"{path} is absent: make export TARGET=onnx PRECISION=fp16 makes it")
    messages = Messages()
    logger = make_logger(trt, messages)
    builder = trt.Builder(logger)
    # Needed by TensorRT 10; 11 knows no other networks, and takes the flag without using it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        refused = [_describe(parser.get_error(index)) for index in range(parser.num_errors)]
        raise CheckFailedError(f"TensorRT {trt.__version__} cannot parse {path.name}: {'; '.join(refused)}")
    return Parsed(builder, network, messages, (parser, logger))


def profile_batches(max_batch: int) -> tuple[int, int, int]:
    """Smallest, best and largest batch of the optimisation profile.

    Best is half of the largest: with a dynamic batcher and no queue delay, full batches are the exception.
    """
    if max_batch < 1:
        raise ExportError(f"the largest batch is {max_batch}; it must be at least 1")
    return 1, max(1, max_batch // 2), max_batch


def make_logger(trt: Any, messages: Messages) -> Any:
    """A TensorRT logger that keeps warnings and errors, and prints nothing."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # `trt` is a module at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                kept = messages.errors
            elif severity == trt.ILogger.WARNING:
                kept = messages.warnings
            else:
                return
            if text not in kept:
                kept.append(text)

    return Logger()


def first_sentence(errors: Sequence[str]) -> str:
    """The first error without the compiler's source locations."""
    return errors[0].split(". In ")[0].strip() if errors else ""


def _describe(error: Any) -> str:
    operator = f"{error.node_operator()} {error.node_name()}".strip()
    return f"{operator}: {error.desc()}" if operator else str(error.desc())

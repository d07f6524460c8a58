"""Parses ONNX to a strongly typed network, with `tensorrt` or `tensorrt-rtx`, and collects the messages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.errors import CheckFailedError, ExportError


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages that TensorRT logged, in order, without repetitions."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ParsedNetwork:
    """A network and the objects that must live as long as it.

    Attributes:
        builder: the `Builder` of the network.
        network: the `INetworkDefinition`.
        messages: of the parser, and later of the builder.
        owners: parser and logger; they own weights that TensorRT does not copy.
    """

    builder: Any
    network: Any
    messages: Messages
    owners: tuple[Any, ...]


def parse_onnx(trt: Any, path: Path) -> ParsedNetwork:
    """Parse an ONNX file to a strongly typed network.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx_bindings`.
        path: the file.

    Raises:
        CheckFailedError: the parser rejects it; the text names the operators.
        ExportError: there is no such file.
    """
    if not path.is_file():
        raise ExportError(f"{path} is missing: run `make export TARGET=onnx PRECISION=fp16` first")
    messages = Messages()
    logger = make_logger(trt, messages)
    builder = trt.Builder(logger)
    # TensorRT 10 needs the flag. In TensorRT 11 all networks are strongly typed, and the flag has no effect.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        rejected = [_describe(parser.get_error(index)) for index in range(parser.num_errors)]
        raise CheckFailedError(f"TensorRT {trt.__version__} cannot parse {path.name}: {'; '.join(rejected)}")
    return ParsedNetwork(builder, network, messages, (parser, logger))


def profile_batches(max_batch: int) -> tuple[int, int, int]:
    """The minimum, optimum and maximum batch of the optimisation profile.

    The optimum is half of the maximum: with a dynamic batcher without a queue delay, full batches are rare.

    Raises:
        ExportError: `max_batch` is less than 1.
    """
    if max_batch < 1:
        raise ExportError(f"the maximum batch size is {max_batch}; it must be at least 1")
    return 1, max(1, max_batch // 2), max_batch


def make_logger(trt: Any, messages: Messages) -> Any:
    """A TensorRT logger that collects warnings and errors, and prints nothing."""

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

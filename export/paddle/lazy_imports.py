"""PaddlePaddle without its noise: import warnings, C++ log lines, a handler on the root logger."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from export.errors import ExportError


@contextmanager
def silenced() -> Iterator[None]:
    """What C++ prints, oneDNN's passes above all, goes nowhere; stdout is for the paths of what was written."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for stream, target in zip(kept, (1, 2), strict=True):
            os.dup2(stream, target)
            os.close(stream)
        os.close(nowhere)


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry: `import openvino` alone reports to its makers over the network.

    It and NNCF do without where `openvino_telemetry` cannot be imported.
    """
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's own way to forbid an import
    import openvino  # noqa: PLC0415  (slow to import)

    return openvino  # type: ignore[no-any-return]


def import_paddle() -> ModuleType:
    """Import PaddlePaddle, a package of 720 MB, only when it is needed.

    Raises:
        ExportError: it is not installed.
    """
    # Read by its C++ log when the library is loaded: warnings and notes are for Paddle's own authors.
    os.environ.setdefault("GLOG_minloglevel", "2")
    handlers = logging.root.handlers[:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # among others: no ccache found
        try:
            import paddle  # noqa: PLC0415
            import paddle.inference  # noqa: PLC0415
        except ImportError as error:
            raise ExportError(f"PaddlePaddle cannot be imported ({error}): install requirements/export.lock") from error
    # It gives the root logger a handler, which would say everything of ours once more.
    logging.root.handlers[:] = handlers
    return paddle  # type: ignore[no-any-return]

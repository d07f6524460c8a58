"""Imports PaddlePaddle without its log output, and controls its modes."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from export.errors import ExportError


def import_paddle() -> ModuleType:
    """Import PaddlePaddle, a package of 720 MB, only when it is needed.

    Raises:
        ExportError: it is not installed.
    """
    # Paddle's C++ log reads this when the library is loaded. Its warnings concern Paddle's own developers.
    os.environ.setdefault("GLOG_minloglevel", "2")
    handlers = logging.root.handlers[:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for example: ccache was not found
        try:
            import paddle  # noqa: PLC0415
            import paddle.inference  # noqa: PLC0415
        except ImportError as error:
            raise ExportError(f"PaddlePaddle cannot be imported ({error}): install requirements/export.lock") from error
    # Paddle adds a handler to the root logger, which would print each of our lines a second time.
    logging.root.handlers[:] = handlers
    return paddle  # type: ignore[no-any-return]


@contextmanager
def suppress_native_output() -> Iterator[None]:
    """Discard what C++ code prints to stdout and stderr, above all oneDNN; stdout is for the paths of written files."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        os.dup2(null, 2)
        yield
    finally:
        for stream, target in zip(saved, (1, 2), strict=True):
            os.dup2(stream, target)
            os.close(stream)
        os.close(null)


@contextmanager
def static_mode(paddle: Any) -> Iterator[None]:
    """Switch Paddle to static mode, in which programs are loaded and saved; restore the previous mode afterwards."""
    was_dynamic = paddle.in_dynamic_mode()
    paddle.enable_static()
    try:
        yield
    finally:
        if was_dynamic:
            paddle.disable_static()


def paddle_message(error: Exception) -> str:
    """The line of a Paddle exception that names the error, without the C++ stack around it."""
    lines = [line.strip() for line in str(error).splitlines()]
    named = [line for line in lines if "Error:" in line or line.startswith("(")] or [line for line in lines if line]
    return named[0] if named else type(error).__name__

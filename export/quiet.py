"""PaddlePaddle without its noise: import warnings, C++ log lines, a handler on the root logger."""

import logging
import os
import warnings
from types import ModuleType

from export.errors import ExportError


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

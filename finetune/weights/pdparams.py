"""Reads Paddle's parameter files."""

from pathlib import Path

import numpy as np

from export.paddle.runtime import import_paddle
from finetune.errors import FinetuneError
from finetune.weights.onnx_weights import Array


def read_pdparams(path: Path) -> dict[str, Array]:
    """The parameters of a .pdparams file by name, float32.

    Raises:
        FinetuneError: the file is missing or holds no parameters.
    """
    if not path.is_file():
        msg = f"there is no {path}"
        raise FinetuneError(msg)
    paddle = import_paddle()
    try:
        state = paddle.load(str(path), return_numpy=True)
    except Exception as error:  # paddle.load unpickles: a broken file can raise anything
        msg = f"{path} holds no parameters of Paddle: {str(error).splitlines()[0] if str(error) else error!r}"
        raise FinetuneError(msg) from None
    if not isinstance(state, dict):
        msg = f"{path} holds no parameters of Paddle"
        raise FinetuneError(msg)
    return {str(name): np.asarray(value, np.float32) for name, value in state.items() if hasattr(value, "shape")}

"""Writes trained weights into a Paddle inference model of the same architecture.

    python -m finetune.weights.paddle_program <Paddle model> weights.npz .cache/demo
    python -m finetune.weights.paddle_program <Paddle model> model.onnx .cache/demo

The second command restores the Paddle model from which an ONNX model was exported, except that its batch norms stay
folded into the convolutions. The graph, its NMS and `inference.yml` are not changed. Requires paddlepaddle 3.2.2.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from export.paddle.runtime import import_paddle, static_mode
from finetune.errors import FinetuneError, run
from finetune.weights.onnx_weights import Array, read

_NORM = ("mean", "variance", "scale", "shift")  # operands of batch_norm_ after its input
_EPSILON = np.float32(1e-5)  # of batch norms
_ENCODER = re.compile(r"(multi_head_attention|linear|layer_norm)_\d+\.[wb]_0")


def rewrite(base: Path, weights: dict[str, Array], out: Path) -> None:
    """Write a copy of a Paddle inference model with other weights.

    Args:
        base: folder with inference.json, inference.pdiparams and inference.yml.
        weights: what `finetune.pytorch.weights.program_weights` or `finetune.weights.onnx_weights.read` returned.
        out: folder for the copy; files of the same names are replaced.

    Raises:
        FinetuneError: a file is missing, or the names or shapes of the weights differ from the program's.
    """
    paddle = import_paddle()
    with static_mode(paddle), paddle.static.scope_guard(paddle.static.Scope()):
        _rewrite(paddle, base, weights, out)
    shutil.copy(base / "inference.yml", out / "inference.yml")


def _rewrite(paddle: Any, base: Path, weights: dict[str, Array], out: Path) -> None:
    for suffix in (".json", ".pdiparams", ".yml"):
        if not (base / f"inference{suffix}").is_file():
            msg = f"{base} has no inference{suffix}: choose a Paddle inference model of the same architecture"
            raise FinetuneError(msg)
    executor = paddle.static.Executor(paddle.CPUPlace())
    program, feeds, fetches = paddle.static.load_inference_model(str(base / "inference"), executor)
    parameters = _parameters(program.global_block().ops)
    weights = _with_batch_norms(weights, parameters)
    if parameters.keys() != weights.keys():
        differing = sorted(parameters.keys() ^ weights.keys())
        msg = f"{base} and the weights are of different architectures: {', '.join(differing[:5])}"
        raise FinetuneError(msg)
    scope = paddle.static.global_scope()
    for key, name in parameters.items():
        stored = scope.find_var(name).get_tensor()
        if tuple(stored.shape()) != weights[key].shape:
            msg = f"{key} has the shape {weights[key].shape} in the weights and {tuple(stored.shape())} in {base}"
            raise FinetuneError(msg)
        stored.set(weights[key], paddle.CPUPlace())
    out.mkdir(parents=True, exist_ok=True)
    feed_vars = [_value(program, name) for name in feeds]
    paddle.static.save_inference_model(str(out / "inference"), feed_vars, fetches, executor, program=program)


def _value(program: Any, name: str) -> Any:
    return next(
        op.result(0) for op in program.global_block().ops if op.name() == "pd_op.data" and op.attrs()["name"] == name
    )


def _parameters(operators: Iterable[Any]) -> dict[str, str]:
    """Paddle's parameter names by the keys of this module, in the order of execution."""
    keys: dict[str, str] = {}
    number = -1
    for operator in operators:
        names = [_parameter(operator, i) for i in range(operator.num_operands())]
        if operator.name() == "pd_op.conv2d":
            number += 1
            keys[f"conv.{number}.weight"] = names[1] or ""
        elif operator.name() == "pd_op.batch_norm_":
            keys |= {f"conv.{number}.{part}": name or "" for part, name in zip(_NORM, names[1:], strict=True)}
        elif operator.name() == "pd_op.reshape" and names[0]:
            keys[f"conv.{number}.bias"] = names[0]
        else:
            keys |= {f"encoder.{m[0]}": name for name in names if name and (m := _ENCODER.match(name))}
    # The projection of the distance bins runs once per level and has no bias; its weights are constants.
    constant = [key for key in keys if key.endswith(".weight") and _is_projection(keys, key)]
    numbers = [int(key.split(".")[1]) for key in keys if key.startswith("conv.") and key not in constant]
    renumbered = {old: new for new, old in enumerate(sorted(set(numbers)))}
    return {
        key if not key.startswith("conv.") else f"conv.{renumbered[int(key.split('.')[1])]}.{key.split('.')[2]}": name
        for key, name in keys.items()
        if key not in constant
    }


def _with_batch_norms(weights: dict[str, Array], parameters: dict[str, str]) -> dict[str, Array]:
    """Replace the biases of folded convolutions by batch norms that add them, where the program has a batch norm."""
    unfolded = dict(weights)
    for key in parameters:
        stem, _, part = key.rpartition(".")
        if part == "mean" and f"{stem}.bias" in unfolded:
            bias = unfolded.pop(f"{stem}.bias")
            one = np.ones_like(bias)
            unfolded |= {f"{stem}.mean": one * 0, f"{stem}.variance": one - _EPSILON, f"{stem}.scale": one}
            unfolded[f"{stem}.shift"] = bias
    return unfolded


def _is_projection(keys: dict[str, str], key: str) -> bool:
    stem = key.rpartition(".")[0]
    return f"{stem}.bias" not in keys and f"{stem}.mean" not in keys


def _parameter(operator: Any, index: int) -> str | None:
    source = operator.operand_source(index)
    defining = source.get_defining_op() if source.initialized() else None
    if defining is None or defining.name() != "builtin.parameter":
        return None
    return str(defining.attrs()["parameter_name"])


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="Paddle inference model of the same architecture")
    parser.add_argument(
        "weights", type=Path, help="an ONNX detector, or an npz file of `python -m finetune.pytorch.export_weights`"
    )
    parser.add_argument("out", type=Path, help="folder for the model")
    options = parser.parse_args(arguments)
    return run(lambda: rewrite(options.base, _weights(options.weights), options.out))


def _weights(path: Path) -> dict[str, Array]:
    if path.suffix == ".onnx":
        return read(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (ValueError, EOFError, BadZipFile):
        msg = f"{path} is neither an ONNX model nor an npz file of `python -m finetune.pytorch.export_weights`"
        raise FinetuneError(msg) from None


if __name__ == "__main__":
    sys.exit(main())

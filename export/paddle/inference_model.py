"""The files of a Paddle inference model, and the removal of its NMS.

PaddleX exports SOD models with the NMS as the last operator. A conversion with the NMS fixes the batch of the ONNX
model to one. Therefore a program that ends before the NMS is written first, whose outputs are the NMS's operands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.paddle.inference_config import InferenceConfig, read_inference_config
from export.paddle.runtime import import_paddle, paddle_message, static_mode
from sod.nms import NmsConfig

NMS_OPERATOR = "pd_op.multiclass_nms3"
FEEDS = ("image", "scale_factor")
# The stem of the program → the configuration beside it: of PaddleX, and of PaddleDetection.
_CONFIGS = {"inference": "inference.yml", "model": "infer_cfg.yml"}


@dataclass(frozen=True, slots=True)
class PaddleModel:
    """A Paddle inference model on disk.

    Attributes:
        program: `inference.json` (Paddle 3, "PIR") or `inference.pdmodel` (Paddle 2); in PaddleDetection's own export
            `model.json` or `model.pdmodel`.
        params: `inference.pdiparams`, the weights, or `model.pdiparams`.
        config: the content of `inference.yml`, or of PaddleDetection's `infer_cfg.yml`.
    """

    program: Path
    params: Path
    config: InferenceConfig


@dataclass(frozen=True, slots=True)
class PreNmsModel:
    """A model that ends before its NMS, in Paddle 3's form.

    Feeds: `image` float32 [N, 3, H, W] (RGB, 0..255; a NormalizeImage step is part of the model) and `scale_factor`
    float32 [N, 2] (y, x). Fetches, in this order: boxes float32 [N, A, 4] (xyxy in pixels of the input, divided by
    scale_factor) and scores float32 [N, C, A].

    Attributes:
        source: the complete model.
        program: `inference.json`.
        params: `inference.pdiparams`.
        anchors: A.
        classes: C.
        nms: parameters of the removed NMS.
    """

    source: PaddleModel
    program: Path
    params: Path
    anchors: int
    classes: int
    nms: NmsConfig = field(default_factory=NmsConfig)


def find_model(model_dir: Path, name: str | None = None) -> PaddleModel:
    """Find a model's files and read its configuration, without loading Paddle.

    PaddleX's files are looked for first, then those of PaddleDetection's `tools/export_model.py`, which do not name the
    model: its name is then the directory's. If the directory has both forms of the program, Paddle 3's is used, as
    Paddle itself does.

    Args:
        model_dir: the directory of the Paddle inference model.
        name: replaces the model's own name.

    Raises:
        ExportError: the directory or a file is missing, or the configuration has an unsupported setting.
    """
    if not model_dir.is_dir():
        raise ExportError(f"{model_dir} is not a directory")
    programs = [model_dir / f"{stem}{suffix}" for stem in _CONFIGS for suffix in (".json", ".pdmodel")]
    program = next((path for path in programs if path.is_file()), None)
    if program is None:
        names = ", ".join(path.name for path in programs)
        raise ExportError(f"{model_dir} has none of {names}: not a Paddle inference model")
    params, config = program.with_suffix(".pdiparams"), model_dir / _CONFIGS[program.stem]
    for path in (params, config):
        if not path.is_file():
            raise ExportError(f"{model_dir} has no {path.name}")
    if program.stem == "model":
        name = name or model_dir.resolve().name
    return PaddleModel(program, params, read_inference_config(config, name))


def remove_nms(model: PaddleModel, work_dir: Path) -> PreNmsModel:
    """Write `inference.json` and `inference.pdiparams` of the model without its NMS into `work_dir`.

    Raises:
        ExportError: Paddle cannot load the model; it is not a detector with one `multiclass_nms3`; that NMS has
            attributes that `sod.nms` does not support; or the shapes differ from the configuration.
    """
    config = model.config
    paddle = import_paddle()
    with static_mode(paddle), paddle.static.scope_guard(paddle.static.Scope()):
        executor = paddle.static.Executor(paddle.CPUPlace())
        try:
            program = _load_program(paddle, model.program, executor)
        # Paddle raises exceptions of many types, from ValueError to SystemError.
        except Exception as error:
            raise ExportError(
                f"Paddle {paddle.__version__} cannot load {model.program}: {paddle_message(error)}"
            ) from error
        operators = list(program.global_block().ops)
        feeds = {op.attrs()["name"]: op.result(0) for op in operators if op.name() in ("pd_op.data", "pd_op.feed")}
        if set(feeds) != set(FEEDS):
            raise ExportError(f"{model.program} has the inputs {sorted(feeds)}; a SOD model has {list(FEEDS)}")
        nms_operators = [op for op in operators if op.name() == NMS_OPERATOR]
        if len(nms_operators) != 1:
            raise ExportError(
                f"{model.program} has {len(nms_operators)} multiclass_nms3 operators; a SOD model has one"
            )
        boxes, scores = nms_operators[0].operands_source()[:2]
        _check_shapes(config, feeds["image"].shape, boxes.shape, scores.shape)
        nms = read_nms(nms_operators[0].attrs(), int(boxes.shape[1]), int(scores.shape[1]))
        if config.normalise is not None:
            _insert_normalise(paddle, program, feeds["image"], *config.normalise.factor_and_offset())
        _use_average_pooling(paddle, program)
        paddle.static.save_inference_model(
            str(work_dir / "inference"), [feeds[name] for name in FEEDS], [boxes, scores], executor, program=program
        )
        anchors, classes = int(boxes.shape[1]), int(scores.shape[1])
    return PreNmsModel(model, work_dir / "inference.json", work_dir / "inference.pdiparams", anchors, classes, nms)


def read_nms(attributes: Mapping[str, Any], anchors: int, classes: int) -> NmsConfig:
    """Parameters of `multiclass_nms3` for `sod.nms`.

    Args:
        attributes: of the operator.
        anchors: boxes per image; replaces an `nms_top_k` of -1, which means all.
        classes: number of classes; anchors * classes replaces a `keep_top_k` of -1.

    Raises:
        ExportError: an attribute is missing, or has a value that `sod.nms` does not support; the text names it.
    """
    for name, (value, meaning) in _REQUIRED_NMS.items():
        if attributes.get(name, value) != value:
            raise ExportError(f"the model's NMS has {name} {attributes[name]}: only {value} is supported ({meaning})")
    try:
        scores, iou = (float(str(np.float32(attributes[name]))) for name in ("score_threshold", "nms_threshold"))
        nms_top_k, keep_top_k = (int(attributes[name]) for name in ("nms_top_k", "keep_top_k"))
    except KeyError as error:
        raise ExportError(f"the model's NMS has no attribute {error}") from None
    return NmsConfig(
        # Scores are never negative: a negative threshold and zero let the same objects pass.
        score_threshold=max(scores, 0.0),
        nms_top_k=anchors if nms_top_k < 0 else nms_top_k,
        keep_top_k=anchors * classes if keep_top_k < 0 else keep_top_k,
        iou_threshold=iou,
    )


# Attribute → the only value that `sod.nms` supports, and its meaning.
_REQUIRED_NMS: dict[str, tuple[float, str]] = {
    "normalized": (True, "the width of a box is x2 - x1"),
    "nms_eta": (1.0, "the IoU threshold is constant"),
    "background_label": (-1, "no class is background"),
}


def _load_program(paddle: Any, path: Path, executor: Any) -> Any:
    """Load a program in PIR form, with its parameters in the current scope."""
    prefix = str(path.with_suffix(""))
    if path.suffix == ".json":
        return paddle.static.load_inference_model(prefix, executor)[0]
    with paddle.pir_utils.OldIrGuard():
        program = paddle.static.load_inference_model(prefix, executor)[0]
    return paddle.pir.translate_to_pir(program.desc)


def _check_shapes(config: InferenceConfig, image: list[int], boxes: list[int], scores: list[int]) -> None:
    """Raise ExportError unless the shapes are [-1, 3, H, W], [-1, A, 4] and [-1, C, A]."""
    if list(image[1:]) != [3, config.height, config.width]:
        raise ExportError(
            f"the program's input is {image}; inference.yml says [-1, 3, {config.height}, {config.width}]"
        )
    if len(boxes) != 3 or len(scores) != 3 or boxes[2] != 4 or boxes[1] != scores[2] or boxes[1] < 1:
        raise ExportError(
            f"before its NMS the program has boxes {boxes} and scores {scores}, not [-1, A, 4] and [-1, C, A]"
        )
    if scores[1] != len(config.labels):
        raise ExportError(f"the program has {scores[1]} classes, but label_list has {len(config.labels)}")


def _insert_normalise(
    paddle: Any, program: Any, image: Any, factor: NDArray[np.float32], offset: NDArray[np.float32]
) -> None:
    """Insert image * factor + offset between the feed and all its uses."""
    with paddle.static.program_guard(program):
        paddle.pir.set_insertion_point_after(image.get_defining_op())
        scaled = image * paddle.assign(factor)
        image.replace_all_uses_with(scaled + paddle.assign(offset))
        # The replacement has also changed the input of our own first operator to its own result.
        scaled.get_defining_op().operand(0).set_source(image)
        paddle.base.libpaddle.pir.reset_insertion_point_to_end()


def _use_average_pooling(paddle: Any, program: Any) -> None:
    """Replace means over height and width, in the backbone's attention, by global average pooling.

    The values are the same, and the model's head uses pooling itself. But oneDNN has only slow reference code for such
    a mean, which takes 15 % of the time of the whole network.
    """
    with paddle.static.program_guard(program):
        for mean in [operator for operator in program.global_block().ops if operator.name() == "pd_op.mean"]:
            image, axes = mean.operands_source()
            reduced = axes.get_defining_op().attrs().get("value")
            if len(image.shape) == 4 and reduced in ([2, 3], [-2, -1]) and mean.attrs()["keepdim"]:
                paddle.pir.set_insertion_point_after(mean)
                mean.result(0).replace_all_uses_with(paddle.nn.functional.adaptive_avg_pool2d(image, 1))
        paddle.base.libpaddle.pir.reset_insertion_point_to_end()

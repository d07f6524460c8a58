"""The Paddle inference model: find its files, cut it before its NMS, run it with Paddle Inference.

PaddleX exports SOD models with the NMS as their last operator. Converted whole, ONNX's batch is frozen to one; so the
operands of that operator are made the outputs of a program of their own first: the "cut" model.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.paddle.inference_config import InferenceConfig, read_inference_config
from export.paddle.lazy_imports import import_paddle, silenced
from sod.detections import Detections
from sod.image import scale_factor, to_pixels
from sod.nms import NmsConfig

NMS_OPERATOR = "pd_op.multiclass_nms3"
FEEDS = ("image", "scale_factor")


@dataclass(frozen=True, slots=True)
class PaddleModel:
    """A Paddle inference model on disk.

    Attributes:
        program: `inference.json` (Paddle 3, "PIR") or `inference.pdmodel` (before).
        params: `inference.pdiparams`, the weights.
        config: what `inference.yml` says.
    """

    program: Path
    params: Path
    config: InferenceConfig


@dataclass(frozen=True, slots=True)
class CutModel:
    """A model cut before its NMS, in Paddle 3's form.

    Feeds `image` float32 [N, 3, H, W] (RGB, 0..255; a NormalizeImage is inside) and `scale_factor` float32 [N, 2]
    (y, x); fetches, in this order, boxes float32 [N, A, 4] (xyxy in pixels of the input over scale_factor) and scores
    float32 [N, C, A].

    Attributes:
        source: the model it was cut from.
        program: `inference.json`.
        params: `inference.pdiparams`.
        anchors: A.
        classes: C.
        nms: parameters of the NMS that was cut off.
    """

    source: PaddleModel
    program: Path
    params: Path
    anchors: int
    classes: int
    nms: NmsConfig = field(default_factory=NmsConfig)


def find_model(model_dir: Path, name: str | None = None) -> PaddleModel:
    """Find a model's files and read its configuration; Paddle is not loaded yet.

    Where both forms of the program lie there, Paddle 3's is taken, as Paddle itself does.

    Args:
        model_dir: the Paddle inference model.
        name: takes the place of the model's own name.

    Raises:
        ExportError: the directory or one of the files is missing, or `inference.yml` asks for what we do not do.
    """
    if not model_dir.is_dir():
        raise ExportError(f"{model_dir} is not a directory")
    programs = [model_dir / "inference.json", model_dir / "inference.pdmodel"]
    program = next((path for path in programs if path.is_file()), None)
    if program is None:
        raise ExportError(f"{model_dir} has neither inference.json nor inference.pdmodel: not a Paddle inference model")
    params, config = model_dir / "inference.pdiparams", model_dir / "inference.yml"
    for path in (params, config):
        if not path.is_file():
            raise ExportError(f"{model_dir} has no {path.name}")
    return PaddleModel(program, params, read_inference_config(config, name))


def cut_model(model: PaddleModel, work_dir: Path) -> CutModel:
    """Write `inference.json` and `inference.pdiparams` of the model without its NMS into `work_dir`.

    Raises:
        ExportError: Paddle cannot load the model, it is not a detector with one `multiclass_nms3`, that NMS asks for
            what ours does not do, or the shapes are not those that the configuration says.
    """
    config = model.config
    paddle = import_paddle()
    with static_mode(paddle), paddle.static.scope_guard(paddle.static.Scope()):
        executor = paddle.static.Executor(paddle.CPUPlace())
        try:
            program = _load_program(paddle, model.program, executor)
        # Paddle raises whatever its C++ throws, ValueError to SystemError.
        except Exception as error:
            raise ExportError(
                f"Paddle {paddle.__version__} cannot load {model.program}: {_first_line(error)}"
            ) from error
        operators = list(program.global_block().ops)
        feeds = {op.attrs()["name"]: op.result(0) for op in operators if op.name() in ("pd_op.data", "pd_op.feed")}
        if set(feeds) != set(FEEDS):
            raise ExportError(f"{model.program} is fed {sorted(feeds)}; a SOD model is fed {list(FEEDS)}")
        ends = [op for op in operators if op.name() == NMS_OPERATOR]
        if len(ends) != 1:
            raise ExportError(f"{model.program} has {len(ends)} operators multiclass_nms3; a SOD model has one")
        boxes, scores = ends[0].operands_source()[:2]
        _check_shapes(config, feeds["image"].shape, boxes.shape, scores.shape)
        nms = read_nms(ends[0].attrs(), int(boxes.shape[1]), int(scores.shape[1]))
        if config.normalise is not None:
            _insert_normalise(paddle, program, feeds["image"], *config.normalise.factor_and_offset())
        _pool_means(paddle, program)
        paddle.static.save_inference_model(
            str(work_dir / "inference"), [feeds[name] for name in FEEDS], [boxes, scores], executor, program=program
        )
        anchors, classes = int(boxes.shape[1]), int(scores.shape[1])
    return CutModel(model, work_dir / "inference.json", work_dir / "inference.pdiparams", anchors, classes, nms)


def read_nms(attributes: Mapping[str, Any], anchors: int, classes: int) -> NmsConfig:
    """Parameters of `multiclass_nms3` for `sod.nms`.

    Args:
        attributes: of the operator.
        anchors: boxes an image; what "all", -1, stands for in `nms_top_k`.
        classes: times as many are "all" in `keep_top_k`.

    Raises:
        ExportError: an attribute is missing, or has a value that `sod.nms` does not do; the text names it.
    """
    for name, (value, why) in _NMS_FIXED.items():
        if attributes.get(name, value) != value:
            raise ExportError(f"the model's NMS has {name} {attributes[name]}: only {value} is supported, {why}")
    try:
        scores, iou = (float(str(np.float32(attributes[name]))) for name in ("score_threshold", "nms_threshold"))
        nms_top_k, keep_top_k = (int(attributes[name]) for name in ("nms_top_k", "keep_top_k"))
    except KeyError as error:
        raise ExportError(f"the model's NMS has no attribute {error}") from None
    return NmsConfig(
        # What is below zero lets everything pass, as zero does: scores are none.
        score_threshold=max(scores, 0.0),
        nms_top_k=anchors if nms_top_k < 0 else nms_top_k,
        keep_top_k=anchors * classes if keep_top_k < 0 else keep_top_k,
        iou_threshold=iou,
    )


# Attribute → the value that `sod.nms` knows, and what another one would ask for.
_NMS_FIXED: dict[str, tuple[float, str]] = {
    "normalized": (True, "where a box's width is x2 - x1"),
    "nms_eta": (1.0, "which keeps the IoU threshold as it is"),
    "background_label": (-1, "where every class is one of objects"),
}


class PaddleRunner:
    """Runs a program of either form with Paddle Inference on the CPU, FP32: the reference.

    With oneDNN it is some four times faster; oneDNN is also a source of differences of its own (SOD-S: 0.0017 px,
    0.00003 of score).

    Raises:
        ExportError: Paddle Inference cannot load the program.
    """

    def __init__(self, program: Path, params: Path, *, onednn: bool = False) -> None:
        inference = import_paddle().inference
        config = inference.Config(str(program), str(params))
        config.disable_gpu()
        if onednn:
            config.enable_mkldnn()
        else:
            config.disable_mkldnn()
        config.disable_glog_info()
        try:
            with silenced():
                self._predictor = inference.create_predictor(config)
        except Exception as error:
            raise ExportError(f"Paddle Inference cannot load {program}: {_first_line(error)}") from error

    def __call__(self, image: NDArray[np.float32], scale: NDArray[np.float32]) -> list[NDArray[Any]]:
        """Feed `image` [N, 3, H, W] and `scale_factor` [N, 2]; return the fetches in the program's order."""
        for name, value in zip(FEEDS, (image, scale), strict=True):
            self._predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(value, np.float32))
        with silenced():
            self._predictor.run()
        names = self._predictor.get_output_names()
        return [self._predictor.get_output_handle(name).copy_to_cpu() for name in names]


def to_image(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 RGB [N, H, W, 3] → Paddle's `image`, float32 [N, 3, H, W] of 0..255."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)


class ReferenceDetector:
    """The whole, uncut model as PaddleX runs it, with its own NMS: what served detections are held against.

    Raises:
        ExportError: not a model that Paddle Inference loads.
    """

    def __init__(self, model: PaddleModel, *, onednn: bool = False) -> None:
        self.config = model.config
        self._run = PaddleRunner(model.program, model.params, onednn=onednn)

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """Detect on an image, uint8 BGR [h, w, 3]: up to 500 objects over 0.01, boxes in its pixels."""
        size = self.config.height, self.config.width
        return self.detect_pixels(to_pixels(image, size), scale_factor(image, size))

    def detect_pixels(self, pixels: NDArray[np.uint8], scale: NDArray[np.float32]) -> Detections:
        """Detect on uint8 RGB [H, W, 3] of the input's size; `scale` float32 [2], (y, x)."""
        image = to_image(pixels[None])
        if self.config.normalise is not None:
            image = self.config.normalise.apply(image)
        rows = self._run(image, scale[None])[0].reshape(-1, 6)
        # An image without any object comes as one row of -1.
        rows = rows[rows[:, 0] >= 0]
        return Detections(rows[:, 2:6].copy(), rows[:, 1].copy(), rows[:, 0].astype(np.int32))


@contextmanager
def static_mode(paddle: Any) -> Iterator[None]:
    """Paddle's static mode, in which programs are loaded and saved, and then what it was before."""
    was_dynamic = paddle.in_dynamic_mode()
    paddle.enable_static()
    try:
        yield
    finally:
        if was_dynamic:
            paddle.disable_static()


def _load_program(paddle: Any, path: Path, executor: Any) -> Any:
    """The PIR program, its parameters in the current scope."""
    prefix = str(path.with_suffix(""))
    if path.suffix == ".json":
        return paddle.static.load_inference_model(prefix, executor)[0]
    with paddle.pir_utils.OldIrGuard():
        program = paddle.static.load_inference_model(prefix, executor)[0]
    return paddle.pir.translate_to_pir(program.desc)


def _check_shapes(config: InferenceConfig, image: list[int], boxes: list[int], scores: list[int]) -> None:
    """Raise ExportError unless [-1, 3, H, W], [-1, A, 4], [-1, C, A]."""
    if list(image[1:]) != [3, config.height, config.width]:
        raise ExportError(f"the program takes {image}, inference.yml says [-1, 3, {config.height}, {config.width}]")
    if len(boxes) != 3 or len(scores) != 3 or boxes[2] != 4 or boxes[1] != scores[2] or boxes[1] < 1:
        raise ExportError(
            f"before its NMS the program has boxes {boxes} and scores {scores}, not [-1, A, 4], [-1, C, A]"
        )
    if scores[1] != len(config.labels):
        raise ExportError(f"the program tells {scores[1]} classes apart, label_list names {len(config.labels)}")


def _insert_normalise(
    paddle: Any, program: Any, image: Any, factor: NDArray[np.float32], offset: NDArray[np.float32]
) -> None:
    """Put image * factor + offset between the feed and all that use it."""
    with paddle.static.program_guard(program):
        paddle.pir.set_insertion_point_after(image.get_defining_op())
        scaled = image * paddle.assign(factor)
        image.replace_all_uses_with(scaled + paddle.assign(offset))
        # The first of our own operators was turned as well, onto its own result.
        scaled.get_defining_op().operand(0).set_source(image)
        paddle.base.libpaddle.pir.reset_insertion_point_to_end()


def _pool_means(paddle: Any, program: Any) -> None:
    """Put global average pooling where the mean is taken over height and width, in the backbone's attention.

    The values are the same, and the head pools so itself. But oneDNN has only its slow reference code for such a mean:
    15 % of the time of the whole network.
    """
    with paddle.static.program_guard(program):
        for mean in [operator for operator in program.global_block().ops if operator.name() == "pd_op.mean"]:
            image, axes = mean.operands_source()
            over = axes.get_defining_op().attrs().get("value")
            if len(image.shape) == 4 and over in ([2, 3], [-2, -1]) and mean.attrs()["keepdim"]:
                paddle.pir.set_insertion_point_after(mean)
                mean.result(0).replace_all_uses_with(paddle.nn.functional.adaptive_avg_pool2d(image, 1))
        paddle.base.libpaddle.pir.reset_insertion_point_to_end()


def _first_line(error: Exception) -> str:
    """What Paddle says, without the C++ stack that it says it in."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if "Error:" in line or line.startswith("(")] or [line for line in lines if line]
    return said[0] if said else type(error).__name__

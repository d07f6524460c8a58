"""A miniature PP-YOLOE+ SOD: PaddleX's files, feeds, fetches and anchors, built in a second, for tests.

It is not trained. Its features are standardised over the image, so that it "detects" what stands out most: 100 to 300
boxes over 0.5 and 500 over 0.01 in an ordinary image, a few in noise, and none in an image of one colour.

`python -m tests.export.tiny_model DIRECTORY [--pdmodel]` writes one. `--pdmodel` writes the program in Paddle 2's form,
which needs a process that was started with FLAGS_enable_pir_api=0.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from export.paddle.runtime import import_paddle

LABELS = ["pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motorcycle"]
STRIDES = (32, 16, 8)  # in the real models' order
NMS = {
    "score_threshold": 0.01,
    "nms_top_k": 10000,
    "keep_top_k": 500,
    "nms_threshold": 0.6,
    "normalized": True,
    "nms_eta": 1.0,
    "background_label": -1,
}  # in the order of Paddle's C++ function


def make_tiny_paddle_model(
    directory: Path,
    size: int | tuple[int, int] = 640,
    classes: int = 10,
    seed: int = 0,
    *,
    name: str = "PP-YOLOE_plus_SOD-tiny",
    labels: list[str] | None = None,
    nms: dict[str, Any] | None = None,
    normalise: dict[str, Any] | None = None,
    pdmodel: bool = False,
) -> Path:
    """Write `inference.json` (or `.pdmodel`), `inference.pdiparams` and `inference.yml` as PaddleX does.

    Feeds: `image` float32 [N, 3, size, size] RGB, `scale_factor` float32 [N, 2] (y, x). Fetches: float32 [M, 6] (class,
    score, x1, y1, x2, y2 in source pixels) and int32 [N], after NMS as in the real models.

    Args:
        directory: created if it does not exist.
        size: height and width of the input in pixels, multiples of 32; one number for both.
        classes: number of classes if `labels` is not given; the first ten have VisDrone's names.
        seed: of the weights.
        name: PaddleX's model name.
        labels: names of the classes.
        nms: attributes that differ from the real models' NMS.
        normalise: arguments of a NormalizeImage in `inference.yml`; without it the graph itself divides by 255.
        pdmodel: write Paddle 2's `.pdmodel`; FLAGS_enable_pir_api=0 must be set before Paddle is imported.

    Returns:
        `directory`.
    """
    paddle = import_paddle()
    height, width = (size, size) if isinstance(size, int) else size
    labels = labels or (LABELS + [f"class {i}" for i in range(10, classes)])[:classes]
    directory.mkdir(parents=True, exist_ok=True)
    was_dynamic = paddle.in_dynamic_mode()
    paddle.enable_static()
    try:
        main, startup = paddle.static.Program(), paddle.static.Program()
        executor = paddle.static.Executor(paddle.CPUPlace())
        with (
            paddle.static.scope_guard(paddle.static.Scope()),
            paddle.static.program_guard(main, startup),
            paddle.utils.unique_name.guard(),
        ):
            image = paddle.static.data("image", [-1, 3, height, width])
            scale_factor = paddle.static.data("scale_factor", [-1, 2])
            unit = image if normalise else image / 255.0
            boxes, scores = _Network(paddle, (height, width), len(labels), seed)(unit, scale_factor)
            fetches = _multiclass_nms3(paddle, boxes, scores, NMS | (nms or {}), pdmodel=pdmodel)
            executor.run(startup)
            paddle.static.save_inference_model(
                str(directory / "inference"), [image, scale_factor], fetches, executor, program=main
            )
    finally:
        if was_dynamic:
            paddle.disable_static()
    config = inference_yml(name, (height, width), labels, normalise)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (directory / "inference.yml").write_text(text, encoding="utf-8")
    return directory


def inference_yml(
    name: str, size: int | tuple[int, int], labels: list[str], normalise: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The content of `inference.yml` that PaddleX writes for a SOD model."""
    target = [size, size] if isinstance(size, int) else list(size)
    steps: list[dict[str, Any]] = [{"interp": 2, "keep_ratio": False, "target_size": target, "type": "Resize"}]
    if normalise is not None:
        steps.append({**normalise, "type": "NormalizeImage"})
    return {
        "mode": "paddle",
        "draw_threshold": 0.5,
        "metric": "COCO",
        "use_dynamic_shape": False,
        "Global": {"model_name": name},
        "arch": "YOLO",
        "min_subgraph_size": 3,
        "Preprocess": [*steps, {"type": "Permute"}],
        "label_list": labels,
    }


class _Network:
    """Five strided convolutions, heads on the last three, and a LayerNorm on the last, as in the real neck."""

    def __init__(self, paddle: Any, size: tuple[int, int], classes: int, seed: int) -> None:
        self.paddle, self.size, self.classes = paddle, size, classes
        self.random = np.random.default_rng(seed)

    def __call__(self, image: Any, scale_factor: Any) -> tuple[Any, Any]:
        """Boxes [N, A, 4] divided by scale_factor, and scores [N, C, A]."""
        paddle = self.paddle
        # The first kernels sum to zero and never extend beyond the edge: an image of one colour has no features.
        features = paddle.nn.functional.relu(self._conv(image, 8, 2, 2, zero_sum=True))
        features = paddle.nn.functional.relu(self._conv(features, 16, 3, 2))
        levels: list[Any] = []
        for _ in STRIDES:
            features = paddle.nn.functional.relu(self._conv(features, 16, 3, 2))
            levels.insert(0, features)
        levels[0] = self._layer_norm(levels[0])
        heads = [self._standardised(self._conv(level, 4 + self.classes, 1, 1)) for level in levels]  # [N, 4 + C, a]
        head = paddle.transpose(paddle.concat(heads, axis=2), [0, 2, 1])
        centres, strides = self._anchors()
        middle = paddle.tanh(head[:, :, :2]) * (strides * 0.5) + centres
        half = self._sigmoid(head[:, :, 2:4]) * (strides * 0.45) + strides * 0.5  # sides of 8..15 to 32..61 px
        boxes = paddle.concat([middle - half, middle + half], axis=2)
        scale_y, scale_x = scale_factor[:, 0:1], scale_factor[:, 1:2]
        scale = paddle.reshape(paddle.concat([scale_x, scale_y, scale_x, scale_y], axis=1), [-1, 1, 4])
        scores = self._sigmoid(head[:, :, 4:] * 2.0 - 10.0)
        return boxes / scale, paddle.transpose(scores, [0, 2, 1])

    def _standardised(self, x: Any) -> Any:
        """[N, C, h, w] → [N, C, h * w], mean 0 and deviation 1 over the image; 0 for constant features."""
        # A mean over height and width, as in the real models' backbone; the one below is over another axis.
        centred = self.paddle.flatten(x - self.paddle.mean(x, axis=[2, 3], keepdim=True), 2)
        return centred / ((self.paddle.mean(centred * centred, axis=2, keepdim=True) + 1e-6) ** 0.5)

    def _anchors(self) -> tuple[Any, Any]:
        """Centres [A, 2] (x, y) and strides [A, 1] in pixels, both parameters of the graph."""
        centres, strides = [], []
        for stride in STRIDES:
            rows, columns = ((np.arange(side // stride) + 0.5) * stride for side in self.size)
            x, y = np.meshgrid(columns, rows)
            centres.append(np.stack([x.ravel(), y.ravel()], axis=1))
            strides.append(np.full((x.size, 1), stride))
        return self._parameter(np.concatenate(centres)), self._parameter(np.concatenate(strides))

    def _conv(self, x: Any, channels: int, kernel: int, stride: int, *, zero_sum: bool = False) -> Any:
        """A convolution without bias that preserves the variance."""
        shape = (channels, x.shape[1], kernel, kernel)
        weight = self.random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        if zero_sum:
            weight -= weight.mean(axis=(2, 3), keepdims=True)
        initial = self.paddle.nn.initializer.Assign(weight.astype(np.float32))
        layer = self.paddle.nn.Conv2D(
            shape[1], channels, kernel, stride, padding=(kernel - 1) // 2, weight_attr=initial, bias_attr=False
        )
        return layer(x)

    def _layer_norm(self, x: Any) -> Any:
        """LayerNorm over the channels of [N, C, h, w]."""
        moved = self.paddle.transpose(x, [0, 2, 3, 1])
        return self.paddle.transpose(self.paddle.nn.LayerNorm(x.shape[1])(moved), [0, 3, 1, 2])

    def _sigmoid(self, x: Any) -> Any:
        # tanh works in both forms of the program; Paddle 3.2's sigmoid does not support the old one.
        return self.paddle.tanh(x * 0.5) * 0.5 + 0.5

    def _parameter(self, values: Any) -> Any:
        values = values.astype(np.float32)
        return self.paddle.create_parameter(
            values.shape, "float32", default_initializer=self.paddle.nn.initializer.Assign(values)
        )


def _multiclass_nms3(paddle: Any, boxes: Any, scores: Any, nms: dict[str, Any], *, pdmodel: bool) -> list[Any]:
    """The fetches: rows [M, 6], and the number of rows of each image [N]."""
    if not pdmodel:
        rows, _, counts = paddle._C_ops.multiclass_nms3(boxes, scores, None, *nms.values())
        return [rows, counts]
    helper = paddle.base.layer_helper.LayerHelper("multiclass_nms3")
    rows, index, counts = (helper.create_variable_for_type_inference(t) for t in ("float32", "int32", "int32"))
    helper.append_op(
        type="multiclass_nms3",
        inputs={"BBoxes": boxes, "Scores": scores},
        attrs=nms,
        outputs={"Out": rows, "Index": index, "NmsRoisNum": counts},
    )
    return [rows, counts]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--pdmodel", action="store_true")
    arguments = parser.parse_args()
    make_tiny_paddle_model(arguments.directory, pdmodel=arguments.pdmodel)

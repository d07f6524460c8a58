"""Exports a trained model as PaddleX ships its models: inference.json, inference.pdiparams, inference.yml."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paddle
import yaml

from finetune.paddledet.model import NMS
from finetune.variants import INPUT_SIZE


class _InferenceModel(paddle.nn.Layer):  # type: ignore[misc]
    """The detector with its NMS; takes pixels of 0..255."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Any, scale_factor: Any) -> Any:
        features = self.model.neck(self.model.backbone({"image": image / 255.0}))
        boxes, scores, _ = self.model.yolo_head.post_process(self.model.yolo_head.forward_eval(features), scale_factor)
        # ppdet calls this operator in a form that only the programs of Paddle 2 accept.
        objects, count, _ = paddle._C_ops.multiclass_nms3(boxes, scores, None, *NMS.values(), True, 1.0, -1)
        return objects, count


def write(model: Any, name: str, labels: Sequence[str], folder: Path) -> None:
    """Write the three files of a Paddle inference model.

    Args:
        model: what `finetune.paddledet.model.build` returned; it is not changed.
        name: name of the model in inference.yml.
        labels: class names by id.
        folder: created if missing; files of the same names are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deployed = copy.deepcopy(model)
    deployed.eval()
    deployed.yolo_head.exclude_nms = True
    for layer in deployed.sublayers():
        if hasattr(layer, "convert_to_deploy"):
            layer.convert_to_deploy()
    spec = [
        paddle.static.InputSpec([None, 3, INPUT_SIZE, INPUT_SIZE], "float32", "image"),
        paddle.static.InputSpec([None, 2], "float32", "scale_factor"),
    ]
    static = paddle.jit.to_static(_InferenceModel(deployed), input_spec=spec, full_graph=True)
    static.eval()
    paddle.jit.save(static, str(folder / "inference"))
    document = {
        "mode": "paddle",
        "draw_threshold": 0.5,
        "metric": "COCO",
        "use_dynamic_shape": False,
        "Global": {"model_name": name},
        "arch": "YOLO",
        "min_subgraph_size": 3,
        "Preprocess": [
            {"interp": 2, "keep_ratio": False, "target_size": [INPUT_SIZE, INPUT_SIZE], "type": "Resize"},
            {"type": "Permute"},
        ],
        "label_list": list(labels),
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / "inference.yml").write_text(text, encoding="utf-8")

"""PP-YOLOE+ SOD as ppdet builds it, but that classes which an image leaves unlabelled are not punished there."""

import warnings
from typing import Any

from export.paddle.runtime import import_paddle, suppress_native_output
from finetune.variants import Shape

paddle = import_paddle()
with suppress_native_output(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of trackers that are not installed
    from ppdet.core import workspace
    from ppdet.modeling.heads import ppyoloe_head

SIZE = 640  # px of a side of what is served; multiples of 32 up to it can be trained on
STRIDES = (32, 16, 8)
# Paddle's advice to those who call `split` as PyTorch does, which ppdet's authors would need.
warnings.filterwarnings("ignore", r"\s*Non compatible API")
NMS = {"score_threshold": 0.01, "nms_top_k": 10000, "keep_top_k": 500, "nms_threshold": 0.6}
_BINS = (-2, 8)


@workspace.register
class MaskedPPYOLOEHead(ppyoloe_head.PPYOLOEHead):  # type: ignore[misc]
    """The head; its training targets have `labelled`, float32 [N, 1, C]: 1 for classes labelled wherever they are."""

    __shared__ = ppyoloe_head.PPYOLOEHead.__shared__
    __inject__ = ppyoloe_head.PPYOLOEHead.__inject__

    def get_loss(self, head_outs: Any, gt_meta: Any, aux_pred: Any = None) -> Any:
        """As ppdet's, with the masks kept for the class loss."""
        self._labelled = gt_meta["labelled"]
        return super().get_loss(head_outs, gt_meta, aux_pred)

    def _varifocal_loss(
        self, pred_score: Any, gt_score: Any, label: Any, alpha: float = 0.75, gamma: float = 2.0
    ) -> Any:
        """Varifocal loss [] (arXiv:2008.13367) where it counts: at objects, and elsewhere for labelled classes."""
        label = label.astype(pred_score.dtype)
        counted = paddle.maximum(self._labelled.expand_as(label), label.sum(-1, keepdim=True).expand_as(label))
        weight = (alpha * pred_score.detach().pow(gamma) * (1 - label) + gt_score * label) * counted
        return paddle.nn.functional.binary_cross_entropy(pred_score, gt_score, weight=weight, reduction="sum")


def build(shape: Shape, classes: int) -> Any:
    """A `YOLOv3` of ppdet with random weights, and a head of its own for that many classes."""
    workspace.merge_config(
        {
            "architecture": "YOLOv3",
            "depth_mult": shape.depth,
            "width_mult": shape.width,
            "num_classes": classes,
            "norm_type": "bn",
            "eval_size": [SIZE, SIZE],
            "YOLOv3": {
                "backbone": "CSPResNet",
                "neck": "CustomCSPPAN",
                "yolo_head": "MaskedPPYOLOEHead",
                "post_process": None,
            },
            "CSPResNet": {
                "layers": [3, 6, 6, 3],
                "channels": [64, 128, 256, 512, 1024],
                "return_idx": [1, 2, 3],
                "use_large_stem": True,
                "use_alpha": True,
            },
            "CustomCSPPAN": {
                "out_channels": [768, 384, 192],
                "stage_num": 1,
                "block_num": 3,
                "act": "swish",
                "spp": True,
                "use_trans": True,
                "num_layers": shape.layers,
                "dim_feedforward": shape.feed_forward,
            },
            "MaskedPPYOLOEHead": {
                "fpn_strides": list(STRIDES),
                "reg_range": list(_BINS),
                "static_assigner_epoch": -1,
                "use_varifocal_loss": True,
                "loss_weight": {"class": 1.0, "iou": 2.5, "dfl": 0.5},
                "static_assigner": {"name": "ATSSAssigner", "topk": 9},
                "assigner": {
                    "name": "TaskAlignedAssigner_CR", "center_radius": 1, "topk": 13, "alpha": 1.0, "beta": 6.0
                },
                "nms": {"name": "MultiClassNMS", **NMS},
            },
        }
    )  # fmt: skip
    return workspace.create("YOLOv3")

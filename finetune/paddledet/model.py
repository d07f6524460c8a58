"""PP-YOLOE+ SOD as ppdet builds it, with a class loss that ignores the classes which an image leaves unlabelled."""

import warnings
from typing import Any

from export.paddle.runtime import import_paddle, suppress_native_output
from finetune.variants import INPUT_SIZE, STRIDES, Variant

paddle = import_paddle()
with suppress_native_output(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ppdet warns about object trackers that are not installed
    from ppdet.core import workspace
    from ppdet.modeling.heads import ppyoloe_head

# Paddle warns about ppdet's calls of `split`, which follow PyTorch's signature.
warnings.filterwarnings("ignore", r"\s*Non compatible API")
NMS = {"score_threshold": 0.01, "nms_top_k": 10000, "keep_top_k": 500, "nms_threshold": 0.6}
_BINS = (-2, 8)  # range of the binned distances in cells, the upper bound excluded


@workspace.register
class MaskedPPYOLOEHead(ppyoloe_head.PPYOLOEHead):  # type: ignore[misc]
    """ppdet's head with a masked class loss.

    Its training targets also contain `labelled`, float32 [N, 1, C]: 1 for classes of which the image labels every
    object, else 0.
    """

    __shared__ = ppyoloe_head.PPYOLOEHead.__shared__
    __inject__ = ppyoloe_head.PPYOLOEHead.__inject__

    def get_loss(self, head_outs: Any, gt_meta: Any, aux_pred: Any = None) -> Any:
        """Compute the losses as ppdet does; keep `labelled` for the class loss."""
        self._labelled = gt_meta["labelled"]
        return super().get_loss(head_outs, gt_meta, aux_pred)

    def _varifocal_loss(
        self, pred_score: Any, gt_score: Any, label: Any, alpha: float = 0.75, gamma: float = 2.0
    ) -> Any:
        """Varifocal loss, a scalar (arXiv:2008.13367): of all classes at objects, of labelled classes elsewhere."""
        label = label.astype(pred_score.dtype)
        mask = paddle.maximum(self._labelled.expand_as(label), label.sum(-1, keepdim=True).expand_as(label))
        weight = (alpha * pred_score.detach().pow(gamma) * (1 - label) + gt_score * label) * mask
        return paddle.nn.functional.binary_cross_entropy(pred_score, gt_score, weight=weight, reduction="sum")


def build(variant: Variant, classes: int) -> Any:
    """A model of ppdet's class `YOLOv3` with random weights and the masked head, for that many classes."""
    workspace.merge_config(
        {
            "architecture": "YOLOv3",
            "depth_mult": variant.depth,
            "width_mult": variant.width,
            "num_classes": classes,
            "norm_type": "bn",
            "eval_size": [INPUT_SIZE, INPUT_SIZE],
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
                "num_layers": variant.encoder_layers,
                "dim_feedforward": variant.feed_forward,
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

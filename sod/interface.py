"""Names of the tensors that gateway, ensemble and its stages exchange (docs/ensemble.md)."""

# The ensemble's inputs. Its second entrance takes `PIXELS` and `SCALE_FACTOR` instead of `IMAGE`.
IMAGE = "image"  # BYTES [1]: one encoded image
SCORE_THRESHOLD = "score_threshold"  # FP32 [classes]: objects with a score above it are kept
# Optional inputs; models that were exported before 0.3.0 have none.
IOU_THRESHOLD = "iou_threshold"  # FP32 [1]: an object is suppressed by a better one with a greater IoU
CLASS_AGNOSTIC = "class_agnostic"  # BOOL [1]: whether objects of other classes suppress an object too

# The ensemble's outputs. M is the largest number of objects in the request's batch; shorter results are zero-padded.
BOXES = "boxes"  # FP32 [M, 4]: xyxy in pixels of the source image
SCORES = "scores"  # FP32 [M]
CLASS_IDS = "class_ids"  # INT32 [M]
NUM_DETECTIONS = "num_detections"  # INT32 [1]
ERROR = "error"  # BYTES [1]: empty, or why this image could not be decoded

# Between the stages. The detector's own outputs are also named BOXES and SCORES.
PIXELS = "pixels"  # UINT8 [H, W, 3]: RGB at the detector's size
SCALE_FACTOR = "scale_factor"  # FP32 [2]: (scale_y, scale_x), the detector's input size divided by the source's
RAW_BOXES = "raw_boxes"  # FP32 [A, 4]: xyxy in the detector's pixels
RAW_SCORES = "raw_scores"  # FP32 [classes, A]

# Parameter of a second entrance's configuration: the name of the model whose entrance it is.
ENTRANCE_OF = "entrance_of"
# Parameter of a model's configuration in a running Triton, not in its config.pbtxt: SHA-256 of the weights, as JSON.
WEIGHTS_SHA256 = "sha256"


def pixel_entrance(model: str) -> str:
    """The name of a model's second entrance: an ensemble that takes pixels instead of an encoded image."""
    return f"{model}_pixels"

"""Boxes in the coordinates of the source image, clipped at its edges as PaddleX's are."""

import numpy as np

from sod.detections import Detections


def clip(detections: Detections, width: int, height: int) -> Detections:
    """Clip the boxes at the edges of the image, and leave out those of which nothing is left, as PaddleX does.

    Args:
        detections: Boxes in pixels of the image.
        width: Width of the image in pixels, EXIF rotation applied.
        height: Height of the image in pixels.
    """
    frame = np.array([width, height, width, height], np.float32)
    boxes = np.clip(detections.boxes, np.float32(0), frame)
    return Detections(boxes, detections.scores, detections.class_ids).with_area()

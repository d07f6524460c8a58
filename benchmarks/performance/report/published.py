"""Latencies that Baidu publishes for the official models.

Source: PaddleX 3.x, docs/pipeline_usage/tutorials/cv_pipelines/small_object_detection.en.md: an NVIDIA Tesla T4, and an
Intel Xeon Gold 5117 at 2.00 GHz with 8 threads, FP32; "normal mode" is what we call regular.
"""

from dataclasses import dataclass

MACHINES = "Tesla T4; Xeon Gold 5117, 8 threads"


@dataclass(frozen=True, slots=True)
class Published:
    """Published milliseconds of one inference, by device and mode."""

    gpu_regular: float
    gpu_high_performance: float
    cpu_regular: float
    cpu_high_performance: float


PUBLISHED = {
    "PP-YOLOE_plus_SOD-S": Published(135.68, 122.94, 188.09, 107.74),
    "PP-YOLOE_plus_SOD-L": Published(114.24, 93.98, 285.39, 285.39),
    "PP-YOLOE_plus_SOD-largesize-L": Published(639.57, 332.79, 2807.12, 2807.12),
}

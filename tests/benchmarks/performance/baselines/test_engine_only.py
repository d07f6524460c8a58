"""The engine alone in a child process."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.performance.baselines import engine_only
from benchmarks.performance.baselines.detector_config import read_detector
from benchmarks.performance.errors import BenchmarkError

REPOSITORY = Path(__file__).parents[4] / "model_repository"
DEMO = "PP-YOLOE_plus_SOD-demo"


def test_the_engine_alone_gives_outputs_and_rates():
    config = read_detector(REPOSITORY, DEMO, "cpu_high_performance")
    pixels = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
    with engine_only.started(config, pixels) as alone:
        pid = alone.processes.pid
        boxes, scores = alone.infer()
        assert boxes.shape == (1, 8400, 4)
        assert scores.shape == (1, 10, 8400)
        assert alone.throughput(0.1) > 0
        assert alone.throughput(0.1, "throughput") > 0
        assert len(alone.latency_ms(0.1)) >= 3
        assert alone.memory_mib > 50
    assert not psutil.pid_exists(pid)


def test_a_detector_that_cannot_be_loaded_is_reported(tmp_path):
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no network")
    config = replace(read_detector(REPOSITORY, DEMO, "cpu_high_performance"), file=broken)
    said = pytest.raises(BenchmarkError, match="engine of PP-YOLOE")
    with said, engine_only.started(config, np.zeros((640, 640, 3), np.uint8)):
        pytest.fail("it cannot be loaded")

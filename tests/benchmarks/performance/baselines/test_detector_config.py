"""What a profile's configuration says of a detector."""

from pathlib import Path

import pytest

from benchmarks.performance.baselines.detector_config import class_count, read_detector
from benchmarks.performance.errors import BenchmarkError

REPOSITORY = Path(__file__).parents[4] / "model_repository"
DEMO = "PP-YOLOE_plus_SOD-demo"


class TestDetectorConfig:
    def test_the_configuration_of_a_profile(self):
        config = read_detector(REPOSITORY, DEMO, "cpu_bf16")
        assert (config.backend, config.precision) == ("openvino", "BF16")
        assert config.size == (640, 640)
        assert config.outputs == ("boxes", "scores")
        assert config.file.name == "model.onnx"
        assert class_count(REPOSITORY, DEMO) == 10

    def test_missing_files_are_reported(self):
        with pytest.raises(BenchmarkError, match="cannot be read"):
            read_detector(REPOSITORY, "yolo", "cpu_bf16")
        with pytest.raises(BenchmarkError, match="is not an ensemble with a detector"):
            read_detector(REPOSITORY, "preprocess_640", "cpu_bf16")
        with pytest.raises(BenchmarkError, match=r"model_int8\.xml"):
            read_detector(REPOSITORY, DEMO, "cpu_int8")

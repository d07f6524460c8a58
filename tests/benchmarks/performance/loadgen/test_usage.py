"""Processor time and memory by the role of a process."""

import pytest

from benchmarks.performance.loadgen.usage import per_request, role
from benchmarks.performance.roles import outside_detector

STUB = "/tmp/sod-backends-x/python/triton_python_backend_stub"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ([STUB, "/m/preprocess_640/1/model.py", "x"], "preprocess"),
        ([STUB, "/m/postprocess/1/model.py"], "postprocess"),
        ([STUB, "/m/PP-YOLOE_plus_SOD-S_detector/1/model.onnx"], "detector"),
        (["/v/bin/tritonserver", "--model-repository=/m"], "triton"),
        (["/v/bin/python", "-m", "gateway"], "gateway"),
        (["/v/bin/python", "-m", "server", "--port", "1"], "launcher"),
        (["/v/bin/python", "/px/bin/paddlex", "--serve"], "paddlex"),
        ([], "launcher"),
    ],
)
def test_role_of_a_process(command, expected):
    assert role(command) == expected


def test_processor_time_of_a_request():
    spent = per_request({"gateway": 100.0}, {"gateway": 300.0, "detector": 50.0, "launcher": 9.0}, 10)
    assert spent == {"gateway": 20, "detector": 5, "launcher": 0.9}
    assert outside_detector(spent) == 20

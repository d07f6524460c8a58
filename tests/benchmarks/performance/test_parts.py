"""Agreement, configuration, roles of processes, the crowd, engines, hosts."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks import servers
from benchmarks.performance.baselines import engine_only
from benchmarks.performance.baselines import paddlex as paddlex_server
from benchmarks.performance.baselines.detector_config import class_count, read_detector
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.usage import cpu_ms, outside_detector, per_request, resident_mib, role
from benchmarks.performance.report.agreement import matched
from benchmarks.performance.sections.soak import halves
from benchmarks.performance.sections.stages import crowded
from benchmarks.servers import Host, Server, StartError, running
from sod.detections import Detections

REPOSITORY = Path(__file__).parents[3] / "model_repository"
DEMO = "PP-YOLOE_plus_SOD-demo"


def detections(*rows) -> Detections:
    """Rows of x1, y1, x2, y2, score, class."""
    array = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(array[:, :4], array[:, 4], array[:, 5].astype(np.int32))


class TestMatched:
    A, B = (0, 0, 10, 10, 0.9, 0), (50, 50, 60, 60, 0.6, 1)

    def test_the_same(self):
        assert matched(detections(self.A, self.B), detections(self.B, self.A)) == 1
        assert matched(detections(), detections()) == 1

    def test_lost_and_invented_count_alike(self):
        assert matched(detections(self.A, self.B), detections(self.A)) == pytest.approx(2 / 3)
        assert matched(detections(self.A), detections(self.A, self.B)) == pytest.approx(2 / 3)
        assert matched(detections(self.A), detections()) == 0

    def test_another_class_or_place_is_another_object(self):
        assert matched(detections(self.A), detections((0, 0, 10, 10, 0.9, 1))) == 0
        assert matched(detections(self.A), detections((6, 0, 16, 10, 0.9, 0))) == 0

    def test_a_partner_is_taken_once(self):
        twice = detections(self.A, (0, 0, 10, 9, 0.8, 0))
        assert matched(twice, detections(self.A)) == pytest.approx(2 / 3)

    def test_a_score_just_below_is_no_other_object(self):
        below = detections((0, 0, 10, 10, 0.48, 0))
        assert matched(detections((0, 0, 10, 10, 0.51, 0)), below, 0.5) == 1

    def test_slivers_do_not_count(self):
        assert matched(detections(self.A, (0, 0, 0.5, 9, 0.9, 0)), detections(self.A)) == 1


class TestDetectorConfig:
    def test_of_a_profile(self):
        config = read_detector(REPOSITORY, DEMO, "cpu_bf16")
        assert (config.backend, config.precision) == ("openvino", "BF16")
        assert config.size == (640, 640)
        assert config.outputs == ("boxes", "scores")
        assert config.file.name == "model.onnx"
        assert class_count(REPOSITORY, DEMO) == 10

    def test_what_is_absent_is_told(self):
        with pytest.raises(BenchmarkError, match="cannot be read"):
            read_detector(REPOSITORY, "yolo", "cpu_bf16")
        with pytest.raises(BenchmarkError, match="no ensemble with a detector"):
            read_detector(REPOSITORY, "preprocess_640", "cpu_bf16")
        with pytest.raises(BenchmarkError, match=r"model_int8\.xml"):
            read_detector(REPOSITORY, DEMO, "cpu_int8")


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
def test_roles(command, expected):
    assert role(command) == expected


def test_time_of_a_request():
    spent = per_request({"gateway": 100.0}, {"gateway": 300.0, "detector": 50.0, "launcher": 9.0}, 10)
    assert spent == {"gateway": 20, "detector": 5, "launcher": 0.9}
    assert outside_detector(spent) == 20


@pytest.fixture
def child():
    program = "print('busy', flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        yield Host("busy", process.pid)
        process.kill()


def test_a_paused_host_takes_no_time(child: Host):
    child.pause()
    until = time.monotonic() + 30
    while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < until
        time.sleep(0.01)
    before = cpu_ms(child)
    assert sum(resident_mib(child).values()) > 1
    time.sleep(0.1)
    assert cpu_ms(child) == before
    child.resume()
    until = time.monotonic() + 30
    while cpu_ms(child) == before:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_triton_is_never_paused():
    # By its first word, as Triton's own processes have it.
    process = subprocess.Popen(["tritonserver", "60"], executable="/bin/sleep")
    try:
        Server("server", process.pid, "", "", "cpu").pause()
        assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
    finally:
        process.kill()
        process.wait()


def test_a_process_that_ends_is_told_with_its_words(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", "print('no such model')"]
    said = pytest.raises(StartError, match=r"(?s)it could not be started; .*no such model")
    with said, running("it", command, lambda: False, log):
        pytest.fail("it is not ready")


def test_what_was_started_is_stopped_even_if_paused():
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with running("it", command, lambda: True) as pid:
        Host("it", pid).pause()
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


def test_the_crowd_has_so_many_candidates():
    for side, anchors in ((640, 8400), (1920, 75_600)):
        boxes, scores = crowded(side, 3000)
        assert boxes.shape == (anchors, 4)
        assert scores.shape == (10, anchors)
        assert (scores > 0.5).sum() == 3000
        assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_halves_leave_the_beginning_out():
    assert halves([1.0, 2.0, 10.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0, 20.0]) == (10, 20)


def test_the_bare_detector():
    config = read_detector(REPOSITORY, DEMO, "cpu_high_performance")
    pixels = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
    with engine_only.started(config, pixels) as alone:
        pid = alone.host.pid
        boxes, scores = alone.infer()
        assert boxes.shape == (1, 8400, 4)
        assert scores.shape == (1, 10, 8400)
        assert alone.throughput(0.1) > 0
        assert alone.throughput(0.1, "throughput") > 0
        assert len(alone.latency_ms(0.1)) >= 3
        assert alone.memory_mib > 50
    assert not psutil.pid_exists(pid)


def test_a_detector_that_cannot_be_loaded_is_told(tmp_path):
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no network")
    config = replace(read_detector(REPOSITORY, DEMO, "cpu_high_performance"), file=broken)
    said = pytest.raises(BenchmarkError, match="engine of PP-YOLOE")
    with said, engine_only.started(config, np.zeros((640, 640, 3), np.uint8)):
        pytest.fail("it cannot be loaded")


class TestPeer:
    def test_its_model(self, tmp_path):
        (tmp_path / "S").mkdir()
        (tmp_path / "S/inference.yml").touch()
        assert paddlex_server.find_model(tmp_path, "S") == tmp_path / "S"
        assert paddlex_server.find_model(tmp_path / "S", "S") == tmp_path / "S"
        with pytest.raises(BenchmarkError, match=r"inference\.yml"):
            paddlex_server.find_model(tmp_path, "L")

    def test_its_architecture_is_what_the_model_says(self, tmp_path):
        says = tmp_path / "inference.yml"
        says.write_text("Global:\n  model_name: PP-YOLOE_plus_SOD-S\n")
        assert paddlex_server.architecture(tmp_path) == "PP-YOLOE_plus_SOD-S"
        for text in ("Global: {}\n", "", "[", "mode: paddle\n"):
            says.write_text(text)
            with pytest.raises(BenchmarkError, match=r"model_name"):
                paddlex_server.architecture(tmp_path)

    def test_where_it_is_not_installed_a_target_is_named(self, tmp_path):
        said = pytest.raises(BenchmarkError, match="make bench-paddlex")
        with said, paddlex_server.started(tmp_path, tmp_path, tmp_path / "venv"):
            pytest.fail("there is none")

    def test_installed_once(self, tmp_path, monkeypatch):
        commands = []

        def run(command, **_):
            commands.append(command)
            tmp_path.joinpath("venv").mkdir(exist_ok=True)
            return subprocess.CompletedProcess(command, 0)

        monkeypatch.setattr(paddlex_server.subprocess, "run", run)
        paddlex_server.install(tmp_path / "venv")
        paddlex_server.install(tmp_path / "venv")
        assert len(commands) == 2
        assert set(paddlex_server.PINS) <= set(commands[1])


def test_free_ports_differ():
    assert len(set(servers.free_ports(4))) == 4


def test_a_host_that_is_gone_is_no_error():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    Host("gone", gone.pid).pause()
    assert cpu_ms(Host("gone", gone.pid)) == {}

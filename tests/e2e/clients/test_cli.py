"""The `sod` command as a user runs it, against the real server."""

import ast
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import START_TIMEOUT_S, Serving, process_environment

SOD = Path(sys.executable).parent / "sod"
TIMEOUT_S = 300
Sod = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, image: bytes) -> Path:
    """The working folder, with the seed's image in it."""
    (tmp_path / "small_object_detection.jpg").write_bytes(image)
    return tmp_path


@pytest.fixture
def sod(server: Serving, folder: Path) -> Sod:
    """Run a line in the working folder, with the server's address in the environment."""

    def run(line: str, *words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [SOD, *line.split(), *words],
            cwd=folder,
            env=process_environment(**{"SOD_URL": server.url, **settings}),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


def test_the_seeds_lines(sod: Sod, server: Serving, folder: Path) -> None:
    line = "--pipeline small_object_detection --input small_object_detection.jpg --threshold 0.5 --save_path ./output"
    done = sod(f"{line} --device gpu:0")
    assert done.returncode == 0, done.stderr
    found = ast.literal_eval(done.stdout)["res"]
    assert found["input_path"] == "small_object_detection.jpg"
    assert found["boxes"]
    assert list(found["boxes"][0]) == ["cls_id", "label", "score", "coordinate"]
    assert (
        done.stderr
        == f"sod: note: device and use_hpip have no effect: the server at {server.url} uses its own device\n"
    )
    saved = json.loads((folder / "output/small_object_detection_res.json").read_text())
    assert saved == found
    assert (folder / "output/small_object_detection_res.jpg").stat().st_size > 1000

    done = sod("--get_pipeline_config small_object_detection --save_path ./my_path")
    assert (done.returncode, done.stderr) == (0, "")
    done = sod("--pipeline ./my_path/small_object_detection.yaml --input small_object_detection.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert ast.literal_eval(done.stdout)["res"] == found, "the file's threshold is 0.5 too"


@pytest.mark.parametrize(
    ("device", "driver"),
    [
        ("npu:0", "Ascend's driver and CANN"),
        ("xpu:0", "Kunlun's driver and XRE"),
        ("mlu:0", "Cambricon's driver"),
        ("dcu:0", "Hygon's driver and DTK"),
        ("intel_npu", "Intel's driver"),
    ],
)
def test_a_device_that_is_not_here_is_one_sentence(sod: Sod, device: str, driver: str) -> None:
    line = "--pipeline small_object_detection --input small_object_detection.jpg"
    done = sod(f"{line} --device {device}", SOD_URL="")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"sod: the local server did not start: device {device}: this machine has no ")
    assert f"install {driver}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_with_a_broken_image(sod: Sod, folder: Path) -> None:
    images = folder / "images"
    (images / "below").mkdir(parents=True)
    content = (folder / "small_object_detection.jpg").read_bytes()
    (images / "a.jpg").write_bytes(content)
    (images / "b.jpg").write_bytes(b"not an image")
    (images / "below" / "c.jpg").write_bytes(content)
    (images / "notes.txt").write_text("not taken")
    done = sod("predict images --threshold 0.4 --save_path out --json")
    assert done.returncode == 1
    results = [json.loads(line)["res"] for line in done.stdout.splitlines()]
    assert [result["input_path"] for result in results] == ["images/a.jpg", "images/below/c.jpg"]
    assert results[0]["boxes"] == results[1]["boxes"] != []
    refusal, sums = done.stderr.splitlines()
    assert refusal.startswith("sod: images/b.jpg: the server answered 422: ")
    assert "not an image we can read" in refusal
    assert sums.startswith(f"sod: 2 images, {2 * len(results[0]['boxes'])} objects, 1 failed, in ")
    saved = sorted(str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*_res.*"))
    assert saved == ["a_res.jpg", "a_res.json", "below/c_res.jpg", "below/c_res.json"]

    done = sod("predict images --on_error raise")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1


def test_models_and_a_model(sod: Sod) -> None:
    done = sod("models --json")
    assert (done.returncode, done.stderr) == (0, "")
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    assert DEMO in names
    assert sod(f"predict small_object_detection.jpg --model {DEMO}").returncode == 0
    done = sod("predict small_object_detection.jpg --model nonsense")
    assert done.returncode == 1
    assert "nonsense" in done.stderr.splitlines()[0]


def test_triton_itself_can_be_asked(sod: Sod, server: Serving) -> None:
    line = f"predict small_object_detection.jpg --threshold 0:0.3,1:0.3 --model {DEMO} --json"
    urls = (server.url, f"grpc://{server.grpc}", f"triton+http://{server.triton_http}")
    printed = [sod(f"{line} --url {url}") for url in urls]
    assert [(done.returncode, done.stderr) for done in printed] == [(0, "")] * 3
    through_gateway, over_grpc, over_http = [json.loads(done.stdout)["res"]["boxes"] for done in printed]
    assert over_grpc == over_http
    assert [box["label"] for box in through_gateway] == [box["label"] for box in over_grpc]
    done = sod("models --json", SOD_URL=f"triton+http://{server.triton_http}")
    assert done.stdout == sod("models --json").stdout != ""


# Ctrl-C


@contextmanager
def running(folder: Path, *words: str, **settings: str) -> Iterator["subprocess.Popen[str]"]:
    """The command in a session of its own, so that a signal is for it alone; killed if the test did not end it."""
    process = subprocess.Popen(
        [SOD, *words],
        cwd=folder,
        env=process_environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def many(folder: Path, count: int) -> None:
    (folder / "many").mkdir()
    for number in range(count):
        (folder / "many" / f"{number:04}.jpg").hardlink_to(folder / "small_object_detection.jpg")


def test_ctrl_c(server: Serving, folder: Path) -> None:
    many(folder, 2000)
    with running(folder, "predict", "many", "--save_path", "out", "--no-image", SOD_URL=server.url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(2):  # by the second one the first is saved
            assert process.stdout.readline().startswith("{'res': ")
        process.send_signal(signal.SIGINT)
        printed = 2 + len(process.stdout.readlines())
        err = process.stderr.read()
        assert process.wait(TIMEOUT_S) == 130
    assert err.startswith("sod: interrupted after ")
    assert err.count("\n") == 1
    assert printed < 2000
    saved = len(list((folder / "out").iterdir()))
    assert printed - saved in (0, 1), "it may end between the two"
    assert server.is_ready()


def test_ctrl_c_ends_a_local_server_too(folder: Path) -> None:
    many(folder, 2000)
    line = f"--pipeline small_object_detection --input many --device cpu --model {DEMO}"
    with running(folder, *line.split(), SOD_URL="") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("{'res': ")
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("tritonserver" in child.name() for child in children)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        process.stdout.readlines()
        assert "Traceback" not in process.stderr.read()
        assert process.wait(TIMEOUT_S) == 130
    assert not psutil.wait_procs(children, timeout=60)[1]


def test_the_line_that_serves(folder: Path, free_ports: Callable[[int], list[int]]) -> None:
    port, http, grpc, metrics = map(str, free_ports(4))
    line = f"--serve --pipeline small_object_detection --device cpu --host 127.0.0.1 --port {port}"
    ports = ["--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics]
    with running(folder, *line.split(), *ports, "--model", DEMO) as process:
        assert process.stdout is not None
        while "Ctrl-C stops it" not in (said := process.stdout.readline()):
            assert said, "it ended"
        done = subprocess.run(
            [SOD, "predict", "small_object_detection.jpg", "--url", f"http://127.0.0.1:{port}", "--json"],
            cwd=folder, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "boxes" in json.loads(done.stdout)["res"]
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0

"""Which models Triton is started with, and what is said of those that are not ready."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from server.errors import ServerError
from server.installation import OWN_BACKENDS, Installation
from server.process.leftovers import claim
from server.process.output import Output
from server.triton.api import ModelState, TritonApi, TritonApiError
from server.triton.command import TritonOptions, TritonPorts, command
from server.triton.process import TritonProcess

ROOT = Path(__file__).parents[2] / "model_repository"
DEMO = "PP-YOLOE_plus_SOD-demo"
BACKENDS = ("python", *OWN_BACKENDS)


def ready(*names: str) -> list[ModelState]:
    return [ModelState(name, True, "") for name in names]


@pytest.fixture
def repository(tmp_path):
    """The demo twice: under its own name and as `mine`."""
    folder = tmp_path / "models"
    for name in ("preprocess_640", "postprocess"):
        shutil.copytree(ROOT / name, folder / name)
    for name in (DEMO, "mine"):
        for source in (DEMO, f"{DEMO}_detector"):
            target = shutil.copytree(ROOT / source, folder / source.replace(DEMO, name))
            for config in target.rglob("*.pbtxt"):
                config.write_text(config.read_text().replace(DEMO, name))
    return folder


@pytest.fixture
def triton(repository, tmp_path, monkeypatch):
    """A Triton whose process is not started."""
    monkeypatch.setattr("server.process.managed_process.ManagedProcess.start", lambda _: None)
    installation = Installation("a Triton", Path("t"), BACKENDS, {}, lambda _: Path("b"), own_backends=True)
    options = TritonOptions(repository, (DEMO, "mine"), "cpu_high_performance", TritonPorts(1, 2, 3))
    with claim(tmp_path) as regions:
        yield TritonProcess(options, installation, Path("b"), regions=regions, output=Output())


def loads(triton) -> list[str]:
    """The ensembles that a start asks for."""
    triton.start()
    return [ensemble.name for ensemble in triton._loader._pending]


def of_command_line(triton) -> list[str]:
    return [word.partition("=")[2] for word in triton._command if word.startswith("--load-model=")]


def test_triton_is_bound_to_loopback():
    options = TritonOptions(Path("r"), ("m",), "cpu_regular", TritonPorts(1, 2, 3))
    line = command(
        options, binary=Path("t"), backends=Path("b"), models=("m",), shm_prefix="sod-1-", region_bytes=2**20
    )
    for service in ("http", "grpc", "metrics"):
        assert f"--{service}-address=127.0.0.1" in line
    assert "--backend-config=openvino,shm-default-byte-size=1048576" in line


def test_gateways_on_other_machines_reach_grpc_and_metrics_only():
    options = TritonOptions(Path("r"), ("m",), "cpu_regular", TritonPorts(1, 2, 3, "0.0.0.0"))
    line = command(options, binary=Path("t"), backends=Path("b"), models=("m",), shm_prefix="sod-1-", region_bytes=1)
    assert "--http-address=127.0.0.1" in line
    for service in ("grpc", "metrics"):
        assert f"--{service}-address=0.0.0.0" in line


def test_the_command_line_loads_the_stages_and_the_api_their_ensembles(triton):
    assert loads(triton) == [DEMO, "mine"]
    stages = ["preprocess_640", f"{DEMO}_detector", "postprocess", "mine_detector"]
    assert of_command_line(triton) == stages
    triton.note_ready(ready(DEMO, "postprocess", "mine", *stages, "another"))
    (triton._options.repository / "another").mkdir()
    (triton._options.repository / "another" / "config.pbtxt").write_text('name: "another"')
    assert loads(triton) == [DEMO, "mine"]
    assert set(of_command_line(triton)) == {*stages, "another"}, "what somebody else loaded"


def test_a_restart_loads_what_was_loaded_and_falls_back(triton):
    assert loads(triton) == [DEMO, "mine"]
    triton.note_ready(ready(DEMO, "postprocess"))
    triton._last_failed = ()
    assert loads(triton) == [DEMO], "mine was unloaded"
    assert loads(triton) == [DEMO, "mine"], "it did not become ready with them"


def test_a_model_whose_files_vanish_is_left_out_of_the_next_start_and_named(triton, repository):
    assert loads(triton) == [DEMO, "mine"]
    triton.note_ready(ready(DEMO, "mine"))
    shutil.rmtree(repository / "mine_detector")
    assert loads(triton) == [DEMO]
    served = triton.served(ready(DEMO))
    assert served.ready == (DEMO,)
    assert served.failed == {"mine": "its stage mine_detector is not in the repository"}


def test_a_damaged_model_is_named_with_tritons_reason_and_tried_again(triton):
    loads(triton)
    reason = (
        "Internal: RuntimeError: Exception from src/inference/src/model_reader.cpp:148:\n"
        'Unable to read the model: "model.onnx"\n\n\n\nAt:\n  /somewhere/model.py(42): initialize\n'
    )
    states = [*ready(DEMO), ModelState("mine_detector", False, reason)]
    served = triton.served(states)
    assert served.ready == (DEMO,)
    assert served.failed == {
        "mine": 'mine_detector cannot be loaded: RuntimeError: Unable to read the model: "model.onnx"'
    }
    triton.note_ready(states)
    assert loads(triton) == [DEMO, "mine"]


def test_a_model_that_was_unloaded_is_not_a_failure(triton):
    loads(triton)
    states = [*ready(DEMO), ModelState("mine", False, "unloaded")]
    assert triton.served(states).failed == {}
    triton.note_ready(states)
    assert loads(triton) == [DEMO]


def test_a_stage_that_dies_twice_while_it_is_loaded_is_left_out(triton):
    triton.note_crash("mine_detector")
    assert loads(triton) == [DEMO, "mine"]
    triton.note_crash("mine_detector")
    assert loads(triton) == [DEMO]
    assert triton.served(ready(DEMO)).failed == {"mine": "the process of mine_detector died twice while it was loaded"}


def test_without_any_model_the_start_says_why(triton, repository):
    for name in (DEMO, "mine"):
        (repository / f"{name}_detector/1/model.onnx").unlink()
    with pytest.raises(ServerError, match=f"no model can be served:\n  {DEMO}: {DEMO}_detector/1/model.onnx is absent"):
        triton.start()


def test_it_knows_what_is_loading_and_shows_no_information(triton):
    assert not triton.shows(b'I1128 12:07:40.793045 24625 model_lifecycle.cc:472] "loading: postprocess:1"')
    assert not triton.shows(b'I1128 12:07:40.800257 24625 model_lifecycle.cc:472] "loading: mine_detector:1"')
    assert triton.loading() == ["postprocess", "mine_detector"]
    assert not triton.shows(b"I1128 12:07:42.257000 1 model_lifecycle.cc:839] \"successfully loaded 'postprocess'\"")
    assert triton.loading() == ["mine_detector"]
    assert triton.shows(b"E1128 12:15:08.156119 1 m.cc:642] \"failed to load 'mine_detector' version 1\"")
    assert triton.loading() == []
    assert not triton.shows(b"| Model | Version |")
    assert triton.shows(b"a model prints this")
    assert not triton.shows(b"Error: Failed to initialize NVML")


@pytest.fixture
def index():
    """An HTTP API, and what its repository index answers."""

    class Handler(BaseHTTPRequestHandler):
        answer = b""

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Handler.answer)

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()

    def answers(content) -> TritonApi:
        Handler.answer = json.dumps(content).encode() if not isinstance(content, bytes) else content
        return TritonApi(http.server_port)

    yield answers
    http.shutdown()
    thread.join()
    http.server_close()


def test_the_index(index):
    content = [
        {"name": "mine", "version": "1", "state": "READY"},
        {"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": "it is"},
        {"name": "other"},
    ]
    assert index(content).models() == [
        ModelState("mine", True, ""),
        ModelState("broken", False, "it is"),
        ModelState("other", False, ""),
    ]


@pytest.mark.parametrize("answer", [b"not JSON", b"", {"error": "x"}, [{"state": "READY"}], [3], None])
def test_an_index_that_tells_nothing_is_an_error(index, answer):
    with pytest.raises(TritonApiError, match="repository index is not as expected"):
        index(answer).models()


def test_nobody_there_is_an_error(free_ports):
    api = TritonApi(free_ports(1)[0])
    assert not api.is_live(1)
    with pytest.raises(TritonApiError, match="Connection refused"):
        api.models()

"""What the launcher says before it starts anything."""

import shutil
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest

from server import cli, triton
from server.installation import Installation

ROOT = Path(__file__).parents[2] / "model_repository"
INSTALLATION = Installation("a Triton", Path("t"), ("python",), {}, lambda: nullcontext(Path("b")))


@pytest.fixture(autouse=True)
def no_start(monkeypatch):
    monkeypatch.setattr("server.supervisor.Supervisor.run", lambda *_, **__: pytest.fail("it was started"))


def test_help_lists_the_profiles(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["--help"])
    assert exit_info.value.code == 0
    assert (
        "cpu_bf16,cpu_high_performance,cpu_int8,cpu_regular,gpu_high_performance,gpu_regular" in capsys.readouterr().out
    )


@pytest.mark.parametrize("arguments", [["--profile", "tpu"], ["--port", "0"], ["--port", "70000"], ["--port", "x"]])
def test_wrong_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(arguments)
    assert exit_info.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--port", "--http-port", "--grpc-port", "--metrics-port"])
def test_a_taken_port_is_named(option, capsys, free_ports):
    ports = dict(zip(["--port", "--http-port", "--grpc-port", "--metrics-port"], free_ports(4), strict=True))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[option]))
        taken.listen()
        assert cli.main([f"{name}={port}" for name, port in ports.items()]) == 1
    error = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{ports[option]} (Address already in use): choose another" in error


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_a_gpu_profile_without_a_gpu_is_refused(capsys):
    assert cli.main(["--profile", "gpu_regular"]) == 1
    assert "needs an NVIDIA GPU, and there is none: PROFILE=cpu_high_performance" in capsys.readouterr().err


def test_an_unknown_model_is_refused_with_the_known(capsys):
    assert cli.main(["--model", "yolov8"]) == 1
    assert "there is no model yolov8; the repository has PP-YOLOE_plus_SOD-L, " in capsys.readouterr().err


def test_nothing_to_serve_lists_what_is_absent(tmp_path, capsys):
    models = shutil.copytree(
        ROOT, tmp_path / "models", ignore=shutil.ignore_patterns("*.onnx", "inference.*", "*.plan")
    )
    assert cli.main(["--model-repository", str(models)]) == 1
    error = capsys.readouterr().err
    assert "no model can be served" in error
    assert "PP-YOLOE_plus_SOD-demo_detector/1/model.onnx is absent: make export" in error
    assert cli.main(["--model-repository", str(models), "--model", "PP-YOLOE_plus_SOD-S"]) == 1
    assert "PP-YOLOE_plus_SOD-S cannot be served: " in capsys.readouterr().err


def test_triton_is_bound_to_loopback():
    options = triton.TritonOptions(Path("r"), ("m",), "cpu_regular", triton.TritonPorts(1, 2, 3), "sod-1-")
    line = triton.command(options, Path("t"), Path("b"))
    for service in ("http", "grpc", "metrics"):
        assert f"--{service}-address=127.0.0.1" in line


@pytest.fixture
def index(monkeypatch):
    """A Triton server object whose process is not started, and what its repository index answers."""
    import json
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        answer = b""

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Handler.answer)

        def log_message(self, *_):
            pass

    monkeypatch.setattr("server.child.Child.start", lambda _: None)
    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    ports = triton.TritonPorts(http.server_port, 2, 3)
    child = triton.TritonServer(
        triton.TritonOptions(Path("r"), ("demo",), "cpu_regular", ports, "sod-1-"), INSTALLATION, Path("b")
    )

    def answers(content):
        Handler.answer = json.dumps(content).encode() if not isinstance(content, bytes) else content

    def loads():
        child.start()
        return [word.partition("=")[2] for word in child._command if word.startswith("--load-model=")]

    yield child, answers, loads
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_restart_loads_what_was_loaded_and_falls_back(index):
    child, answers, loads = index
    assert loads() == ["demo"]
    answers([{"name": name, "version": "1", "state": "READY"} for name in ("mine", "demo", "postprocess")])
    child.note_ready()
    assert loads() == ["demo", "mine", "postprocess"]
    assert loads() == ["demo"], "it did not become ready with them"


@pytest.mark.parametrize("answer", [b"not JSON", b"", {"error": "x"}, [{"state": "READY"}], [3], None, []])
def test_an_index_that_tells_nothing_changes_nothing(index, answer):
    child, answers, loads = index
    answers(answer)
    child.note_ready()
    assert loads() == ["demo"]


def test_the_banner_leads_to_the_page():
    told = cli._banner("http://127.0.0.1:8080", "cpu_regular", [], ("a_model",))
    assert "open http://127.0.0.1:8080/ " in told
    assert "http://127.0.0.1:8080/docs" in told
    assert "    a_model" in told


@pytest.mark.parametrize(
    ("profile", "flags", "told"),
    [
        ("cpu_high_performance", {"avx2", "amx_bf16"}, True),
        ("cpu_high_performance", {"avx2", "avx512_bf16"}, False),
        ("cpu_bf16", {"avx2", "amx_bf16"}, False),
    ],
)
def test_the_banner_names_the_faster_profile_of_a_cpu_with_amx(profile, flags, told, monkeypatch):
    monkeypatch.setattr(cli, "cpu_flags", lambda: flags)
    assert ("PROFILE=cpu_bf16" in cli._banner("http://127.0.0.1:8080", profile, [], ("a_model",))) == told

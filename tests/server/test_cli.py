"""What the launcher says before it starts anything."""

import shutil
import socket
from pathlib import Path

import pytest

from server import cli, triton
from server.errors import ServerError

ROOT = Path(__file__).parents[2] / "model_repository"


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
    line = triton.command(options, Path("b"))
    for service in ("http", "grpc", "metrics"):
        assert f"--{service}-address=127.0.0.1" in line


def test_an_absent_libpython_is_named_with_the_package(monkeypatch):
    monkeypatch.setattr("sysconfig.get_config_var", lambda _: "/nowhere")
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    with pytest.raises(ServerError, match=r"apt-get install libpython3\.1[12]"):
        triton.environment()


def test_backends_are_put_together_and_gone_after():
    with triton.backend_directory() as root:
        assert (root / "python" / "triton_python_backend_stub").is_file()
        assert (root / "python" / "libtriton_python.so").is_file()
        for name in triton.OWN_BACKENDS:
            assert (root / name / "model.py").is_file()
        # Triton refuses links that lead out of the folder.
        assert not [path for path in root.rglob("*") if path.is_symlink()]
    assert not root.exists()

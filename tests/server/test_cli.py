"""What the launcher says before it starts anything."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from server import banner, cli
from server.process.leftovers import claim

SHM = Path("/dev/shm")
ROOT = Path(__file__).parents[2] / "model_repository"


@pytest.fixture(autouse=True)
def no_start(monkeypatch):
    monkeypatch.setattr("server.supervision.supervisor.Supervisor.run", lambda *_, **__: pytest.fail("it was started"))


def test_help_lists_the_profiles(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["--help"])
    assert exit_info.value.code == 0
    told = "".join(capsys.readouterr().out.split())
    assert "cpu_bf16,cpu_high_performance,cpu_int8,cpu_regular,dcu_regular,gpu_high_performance,gpu_regular" in told


@pytest.mark.parametrize("arguments", [["--profile", "tpu"], ["--port", "0"], ["--port", "70000"], ["--port", "x"]])
def test_wrong_options_are_refused(arguments, capfd):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(arguments)
    assert exit_info.value.code == 2
    assert "usage:" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--port", "--http-port", "--grpc-port", "--metrics-port"])
def test_a_taken_port_is_named(option, capfd, free_ports):
    ports = dict(zip(["--port", "--http-port", "--grpc-port", "--metrics-port"], free_ports(4), strict=True))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[option]))
        taken.listen()
        assert cli.main([f"{name}={port}" for name, port in ports.items()]) == 1
    error = capfd.readouterr().err
    assert f"cannot listen on 127.0.0.1:{ports[option]} (Address already in use): choose another" in error


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_a_gpu_profile_without_a_gpu_is_refused(capfd):
    assert cli.main(["--profile", "gpu_regular"]) == 1
    assert "needs an NVIDIA GPU, and there is none: PROFILE=cpu_high_performance" in capfd.readouterr().err


def test_an_unknown_model_is_refused_with_the_known(capfd):
    assert cli.main(["--model", "yolov8"]) == 1
    assert "there is no model yolov8; the repository has PP-YOLOE_plus_SOD-L, " in capfd.readouterr().err


def test_nothing_to_serve_lists_what_is_absent(tmp_path, capfd):
    models = shutil.copytree(
        ROOT, tmp_path / "models", ignore=shutil.ignore_patterns("*.onnx", "inference.*", "*.plan")
    )
    assert cli.main(["--model-repository", str(models)]) == 1
    error = capfd.readouterr().err
    assert "no model can be served" in error
    assert "PP-YOLOE_plus_SOD-demo_detector/1/model.onnx is absent: make export" in error
    assert cli.main(["--model-repository", str(models), "--model", "PP-YOLOE_plus_SOD-S"]) == 1
    assert "PP-YOLOE_plus_SOD-S cannot be served: " in capfd.readouterr().err


def test_the_banner_leads_to_the_page():
    told = banner.banner("http://127.0.0.1:8080", "cpu_regular", ("a_model",), {"b_model": "it is damaged"})
    assert "open http://127.0.0.1:8080/ " in told
    assert "http://127.0.0.1:8080/docs" in told
    assert "  served:\n    a_model\n  not served:\n    b_model: it is damaged\n" in told


@pytest.mark.parametrize(
    ("profile", "flags", "told"),
    [
        ("cpu_high_performance", {"avx2", "amx_bf16"}, True),
        ("cpu_high_performance", {"avx2", "avx512_bf16"}, False),
        ("cpu_bf16", {"avx2", "amx_bf16"}, False),
    ],
)
def test_the_banner_names_the_faster_profile_of_a_cpu_with_amx(profile, flags, told, monkeypatch):
    monkeypatch.setattr(banner, "cpu_flags", lambda: flags)
    assert ("PROFILE=cpu_bf16" in banner.banner("http://127.0.0.1:8080", profile, ("a_model",), {})) == told


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--port=8000", "--http-port=8000"],
            "port 8000 is Triton's http port: give the gateway another (PORT=…) or move Triton's (ARGS=",
        ),
        (
            ["--http-port=7001", "--grpc-port=7001"],
            "Triton's ports must differ, and 7001 is given twice: choose another",
        ),
        (["--host=no-such-host.invalid"], "--host: 'no-such-host.invalid' cannot be resolved ("),
        (["--host=192.0.2.1"], "--host: 192.0.2.1 is no address of this machine: give an address of this machine, or "),
    ],
)
def test_an_address_that_cannot_be_had_is_one_sentence(options, sentence, capfd, free_ports):
    names = ["--port", "--http-port", "--grpc-port", "--metrics-port"]
    ports = [f"{name}={port}" for name, port in zip(names, free_ports(4), strict=True)]
    assert cli.main([*ports, *options]) == 1
    error = capfd.readouterr().err
    assert error.startswith(f"triton-sod: {sentence}")
    assert error.count("\n") == 1


def test_a_server_of_ours_that_already_runs_is_named(capfd, free_ports):
    ports = free_ports(4)
    with socket.socket() as taken, claim(SHM, {"pid": 4711, "url": "http://127.0.0.1:1", "ports": ports}):
        taken.bind(("127.0.0.1", ports[0]))
        taken.listen()
        names = ["--port", "--http-port", "--grpc-port", "--metrics-port"]
        assert cli.main([f"{name}={port}" for name, port in zip(names, ports, strict=True)]) == 1
    error = capfd.readouterr().err
    assert (
        f"port {ports[0]} is in use by the triton-sod that already runs at http://127.0.0.1:1 (process 4711)" in error
    )


def test_with_json_logs_an_error_is_json(capfd, monkeypatch):
    monkeypatch.setenv("SOD_LOG_FORMAT", "json")
    assert cli.main(["--model", "yolov8"]) == 1
    line = json.loads(capfd.readouterr().err)
    assert (line["level"], line["logger"]) == ("ERROR", "server")
    assert line["message"].startswith("there is no model yolov8")

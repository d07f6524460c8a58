"""What `sod doctor` finds, on this machine and on others."""

import json
import socket
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from server import doctor
from server.errors import ServerError

REPOSITORY = Path(__file__).parents[2] / "model_repository"


@pytest.fixture
def ports(free_ports) -> list[str]:
    return ["--ports", *map(str, free_ports(2))]


def run(capsys, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = doctor.main([*arguments, "--json"])
    return code, {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_a_machine_that_serves_is_well(capsys, ports):
    code, findings = run(capsys, *ports, "--profile", "cpu_high_performance")
    assert code == 0
    assert not [finding for finding in findings.values() if finding["level"] == "problem"]
    assert findings["Triton"]["detail"].startswith("the embedded server 24.10; backends python, ")
    assert findings["PP-YOLOE_plus_SOD-demo"]["detail"] == "can be served"


def test_what_is_absent_says_how_to_get_it(capsys, ports, tmp_path):
    for folder in ("PP-YOLOE_plus_SOD-S", "preprocess_640", "PP-YOLOE_plus_SOD-S_detector", "postprocess"):
        (tmp_path / folder).mkdir()
        for config in (REPOSITORY / folder).rglob("*.pbtxt"):
            target = tmp_path / config.relative_to(REPOSITORY)
            target.parent.mkdir(exist_ok=True)
            target.write_text(config.read_text())
        for model in (REPOSITORY / folder).glob("1/model.py"):
            (tmp_path / folder / "1").mkdir()
            (tmp_path / folder / "1/model.py").write_text(model.read_text())
    code, findings = run(capsys, *ports, "--profile", "cpu_high_performance", "--model-repository", str(tmp_path))
    assert code == 1
    assert findings["PP-YOLOE_plus_SOD-S"]["level"] == "note"
    assert "make export MODEL=PP-YOLOE_plus_SOD-S" in findings["PP-YOLOE_plus_SOD-S"]["remedy"]
    assert findings["models"]["detail"] == "none can be served in cpu_high_performance"


def test_a_taken_port_is_a_problem(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, findings = run(capsys, "--ports", str(port))
    assert code == 1
    assert findings[f"port {port}"] == {
        "level": "problem",
        "subject": f"port {port}",
        "detail": "Address already in use",
        "remedy": "stop what listens there, or choose another: --port",
    }


def test_a_port_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit):
        doctor.main(["--ports", "99999"])
    assert "'99999' is not a port from 1 to 65535" in capsys.readouterr().err


def test_without_triton_there_is_one_sentence(capsys, monkeypatch, ports):
    def absent():
        raise ServerError("nvidia-pytriton is not installed: make serve installs it")

    monkeypatch.setattr(doctor, "find_installation", absent)
    code, findings = run(capsys, *ports)
    assert code == 1
    assert findings["Triton"]["remedy"].startswith("nvidia-pytriton is not installed")
    assert "profile" not in findings


def test_an_absent_wheel_names_its_extra(capsys, monkeypatch, ports):
    def version(name: str) -> str:
        if name in ("paddlepaddle", "openvino"):
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    code, findings = run(capsys, *ports, "--profile", "cpu_high_performance")
    assert code == 1  # OpenVINO is what the default profile runs on
    assert findings["openvino"]["level"] == "problem"
    assert findings["paddlepaddle"]["level"] == "note"
    assert findings["paddlepaddle"]["remedy"] == "make serve PROFILE=cpu_regular"


def test_an_old_cpu_is_told_what_it_cannot(capsys, monkeypatch, ports):
    monkeypatch.setattr(doctor, "cpu_flags", lambda: {"sse4_2"})
    code, findings = run(capsys, *ports, "--profile", "cpu_high_performance")
    assert code == 0
    assert "none of avx2, vnni, bf16" in findings["CPU"]["detail"]
    assert findings["BF16"]["remedy"] == "the profile cpu_bf16 gains nothing here"


@pytest.mark.parametrize(
    ("flags", "gain"),
    [({"avx512_bf16", "amx_bf16"}, "2.9 times as fast"), ({"avx512_bf16"}, "may be twice as fast")],
)
def test_it_says_what_bf16_gains_on_this_cpu(flags, gain, capsys, monkeypatch, ports):
    monkeypatch.setattr(doctor, "cpu_flags", lambda: flags | {"avx2"})
    code, findings = run(capsys, *ports, "--profile", "cpu_high_performance")
    assert code == 0
    assert gain in findings["BF16"]["remedy"]


@pytest.mark.parametrize(
    ("flags", "gain"),
    [
        ({"avx512_vnni"}, "1.9 to 2.9 times as fast"),
        ({"avx_vnni"}, "1.9 to 2.9 times as fast"),
        ({"avx512_vnni", "amx_bf16"}, "gains nothing over cpu_bf16"),
        (set(), "is not meant for it"),
    ],
)
def test_it_says_what_int8_gains_on_this_cpu(flags, gain, capsys, monkeypatch, ports):
    monkeypatch.setattr(doctor, "cpu_flags", lambda: flags | {"avx2"})
    code, findings = run(capsys, *ports, "--profile", "cpu_high_performance")
    assert code == 0
    assert gain in findings["INT8"]["remedy"]


def test_the_report_is_read_by_people(capsys, monkeypatch, ports):
    elsewhere = {"url": "http://127.0.0.1:1", "pid": 4711, "ports": [1]}
    monkeypatch.setattr(doctor, "live_claims", lambda _folder: [elsewhere])  # that one keeps nobody from starting
    code = doctor.main([*ports, "--profile", "cpu_high_performance"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[-1] == "the server can start"
    assert any(line.startswith("ok  Python ") for line in lines)
    assert any("→ make export" in line or "can be served" in line for line in lines)


def test_a_folder_without_models_is_a_problem(capsys, ports, tmp_path):
    code, findings = run(capsys, *ports, "--model-repository", str(tmp_path))
    assert code == 1
    assert "holds no ensemble" in findings["model repository"]["remedy"]

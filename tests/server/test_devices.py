"""One grammar of devices, and one sentence for each that this machine lacks."""

import subprocess
from pathlib import Path

import pytest
from sod_client._local_server import device as client

from export.triton.profiles import PROFILES as CONFIGURED
from server import cli, devices
from server.devices import DEVICE_VARIABLE, KINDS, PROFILES, choose_profile, device_environment, parse_device
from server.errors import ServerError

ROOT = Path(__file__).parents[2]


def have(monkeypatch: pytest.MonkeyPatch, folder: Path, nodes: list[str], version: str | None) -> None:
    for node in nodes:
        (folder / node).parent.mkdir(parents=True, exist_ok=True)
        (folder / node).touch()
    monkeypatch.setattr(devices, "_DEV", folder)
    monkeypatch.setattr(devices, "_version", lambda _: version)


def test_every_profile_but_the_plan_has_a_template():
    assert {profile.name for profile in CONFIGURED} - {""} == set(PROFILES) - {"gpu_high_performance"}


@pytest.mark.parametrize(
    ("text", "indices"),
    [("cpu", ()), ("GPU:0,1", (0, 1)), ("npu", ()), ("xpu:3", (3,)), ("intel_gpu:1", (1,)), ("intel_npu", ())],
)
def test_a_device(text, indices):
    device = parse_device(text)
    assert device.indices == indices
    assert str(device) == text.lower()


@pytest.mark.parametrize(
    "text",
    ["", "tpu", "cpu:0", "gpu:", "gpu:a", "gpu:0,", "gpu:-1", "npu:0,0", "intel_npu:0", "npu 0", "gpu:²", "gpu:0:1"],
)
def test_what_is_no_device_is_refused_in_one_sentence(text, capfd):
    with pytest.raises(ServerError, match=f"{text!r}"):
        parse_device(text)
    assert cli.main(["--device", text]) == 1
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.distribution])
def test_an_absent_device_names_its_driver_or_wheel(kind, monkeypatch, tmp_path):
    device = parse_device(kind.name)
    have(monkeypatch, tmp_path, [], None)
    assert f"install {kind.driver}" in device.problem()
    have(monkeypatch, tmp_path, [kind.node.replace("*", "0").replace("?", "128")], None)
    assert f"the wheel {kind.distribution} is not installed" in device.problem()
    with pytest.raises(ServerError, match=kind.distribution):
        choose_profile(device, None, ())
    have(monkeypatch, tmp_path, [], "3.2")
    assert device.problem() == ""
    assert choose_profile(device, None, ()) == kind.profiles[0]
    assert kind.distribution in device.found()


def test_each_index_must_be_there(monkeypatch, tmp_path):
    have(monkeypatch, tmp_path, ["davinci0"], "3.2")
    assert "no Ascend NPU 1" in parse_device("npu:0,1").problem()
    assert parse_device("npu:0").problem() == ""


def test_a_gpu_runs_tensorrt_where_triton_has_it(monkeypatch, tmp_path):
    have(monkeypatch, tmp_path, ["nvidiactl"], None)
    assert choose_profile(parse_device("gpu"), None, ("tensorrt",)) == "gpu_high_performance"
    assert choose_profile(parse_device("gpu"), None, ("onnxruntime",)) == "gpu_regular"
    assert device_environment(parse_device("gpu:0,2")) == {"CUDA_VISIBLE_DEVICES": "0,2"}
    assert device_environment(parse_device("npu:0,2")) == {DEVICE_VARIABLE: "npu:0,2"}


def test_a_profile_of_another_device_is_refused():
    with pytest.raises(ServerError, match="profile gpu_regular does not run on device cpu: choose cpu_high"):
        choose_profile(parse_device("cpu"), "gpu_regular", ())


@pytest.mark.parametrize("options", [["--device", "npu"], ["--profile", "npu_regular"]])
def test_an_absent_device_stops_the_start(options, capfd, monkeypatch, tmp_path):
    have(monkeypatch, tmp_path, [], None)
    assert cli.main(options) == 1
    told = capfd.readouterr().err
    assert "device npu: this machine has no Ascend NPU" in told
    assert told.count("\n") == 1


def test_the_client_reads_the_same_devices():
    for name in ("gpu:0,1", "npu:0", "cpu"):
        device = parse_device(name)
        assert client.parse_device(name) == (device.kind.name, device.indices)


@pytest.mark.parametrize(
    ("variable", "told"), [("DEVCE=npu", "make knows no variable DEVCE"), ("profile=cpu_bf16", "no variable profile")]
)
def test_make_refuses_a_variable_that_it_does_not_know(variable, told):
    line = ["make", "-n", "serve", variable, "EMBEDDED=1"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_make_passes_the_device_on():
    line = ["make", "-n", "serve", "DEVICE=npu:0,1", "ARGS=--verbose X=1", "SOD_MODEL=m", "EMBEDDED=1"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    assert '--device "npu:0,1" --verbose X=1' in done.stdout

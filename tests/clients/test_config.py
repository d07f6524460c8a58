"""PaddleX's pipeline configurations and devices."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from sod_client import (
    AsyncPipeline,
    DependencyError,
    InvalidConfigError,
    MissingFileError,
    Pipeline,
    SodWarning,
    UnsupportedDeviceError,
    create_pipeline,
)
from sod_client._local_server.device import Machine, Placement, choose_placement, parse_device

from export.paddle.paddlex_pipeline import read_pipeline_file
from server.devices import KINDS
from tests.clients.conftest import FakeServer, jpeg

MODULE = {
    "module_name": "small_object_detection",
    "model_name": "PP-YOLOE_plus_SOD-L",
    "model_dir": None,
    "batch_size": 1,
    "threshold": 0.5,
}


def config(module: Any = None, **changes: Any) -> dict[str, Any]:
    """As `paddlex --get_pipeline_config small_object_detection` writes it, with changes."""
    settings = {**MODULE, **(module or {})}
    return {"pipeline_name": "small_object_detection", "SubModules": {"SmallObjectDetection": settings}, **changes}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small_object_detection.yaml"
    path.write_text(yaml.safe_dump(config({"threshold": {0: 0.45}})))
    return path


def test_a_file_picks_the_model_and_the_threshold(server: FakeServer, file: Path) -> None:
    for given in (file, str(file)):
        with create_pipeline(pipeline=given, url=server.url) as pipeline:
            assert (pipeline.model, pipeline.threshold) == ("PP-YOLOE_plus_SOD-L", {0: 0.45})
            list(pipeline.predict(jpeg()))
            list(pipeline.predict(jpeg(), threshold=0.25))
    sent = [(body["model"], body["threshold"]) for _, body in server.requests]
    assert sent == [("PP-YOLOE_plus_SOD-L", {"0": 0.45}), ("PP-YOLOE_plus_SOD-L", 0.25)] * 2


def test_config_takes_precedence_over_pipeline(server: FakeServer, file: Path) -> None:
    described = config({"model_name": "mine", "threshold": None})
    for pipeline in (None, "small_object_detection", file):
        with create_pipeline(pipeline, config=described, url=server.url) as made:
            assert (made.model, made.threshold) == ("mine", None)
    with create_pipeline(config=described, url=server.url, model="other") as made:
        assert made.model == "other"


def test_the_client_and_the_export_read_the_same_file_alike(server: FakeServer, file: Path) -> None:
    exported = read_pipeline_file(file)
    with create_pipeline(file, url=server.url) as pipeline:
        assert (exported.model_name, exported.threshold) == (pipeline.model, pipeline.threshold)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({}, "the pipeline must be 'small_object_detection' or .*, not None"),
        (config(pipeline_name="OCR"), "not 'OCR'"),
        (config(SubModules={}), "SubModules.SmallObjectDetection is missing"),
        (config(SubModules=[]), "SubModules.SmallObjectDetection is missing"),
        (config({"module_name": "ocr"}), "module_name must be 'small_object_detection', not 'ocr'"),
        (config({"model_name": 3}), "model_name must be a text, not 3"),
        (config({"model_name": ""}), "model_name must be a text, not ''"),
        (config({"batch_size": 0}), "batch_size must be a whole number from 1, not 0"),
        (config({"threshold": 1.5}), "threshold: the threshold must be a number from 0 to 1, not 1.5"),
        (config({"threshold": {1.5: 0.5}}), "class of a threshold must be an integer from 0 or a label, not 1.5"),
        (config(use_hpip="yes"), "use_hpip must be true or false, not 'yes'"),
    ],
)
def test_an_invalid_configuration(described: Any, message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        create_pipeline(config=described, url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "not YAML"), ("", "contains no settings"), ("- a", "no settings"), ("\0", "not YAML")],
)
def test_an_invalid_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.yml"
    path.write_text(content)
    with pytest.raises(InvalidConfigError, match=rf"a\.yml: .*{message}"):
        create_pipeline(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InvalidConfigError, match=r"a\.yml: not YAML"):
        create_pipeline(path)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(InvalidConfigError, match="cannot be read: Is a directory"):
        create_pipeline(tmp_path / "folder.yaml")


def test_a_missing_file() -> None:
    with pytest.raises(MissingFileError, match=r"my/pipeline\.yaml: no such pipeline file"):
        create_pipeline("my/pipeline.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OCR", "the pipeline must be 'small_object_detection' or the path of a .yaml or .yml file, not 'OCR'"),
        ("", "the pipeline must be 'small_object_detection' or the path of a .yaml or .yml file, not ''"),
        (None, "pass the name or file of a pipeline, or config="),
    ],
)
def test_another_pipeline(name: Any, message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        create_pipeline(name, url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    "option", [{"engine": "paddle"}, {"engine_config": {}}, {"pp_option": object()}, {"hpi_config": {}}]
)
@pytest.mark.parametrize("kind", [create_pipeline, AsyncPipeline, Pipeline])
def test_paddlex_options_without_effect_give_a_warning(server: FakeServer, option: Any, kind: Any) -> None:
    with pytest.warns(SodWarning, match=f"{next(iter(option))}: this option of PaddleX has no effect"):
        kind(url=server.url, **option)


def test_a_server_has_its_own_device(server: FakeServer) -> None:
    for option in ({"device": "gpu:0"}, {"use_hpip": True}):
        with pytest.warns(SodWarning, match="have no effect: the server at http"):
            create_pipeline(url=server.url, **option).close()  # type: ignore[arg-type]
    with pytest.raises(UnsupportedDeviceError):
        create_pipeline(url=server.url, device="tpu")


# Devices of a local server


def machine(
    *,
    has_paddle: bool = True,
    has_nvidia_gpu: bool = False,
    is_triton_image: bool = False,
    has_onnxruntime_gpu: bool = False,
) -> Machine:
    return Machine(
        has_nvidia_gpu=has_nvidia_gpu,
        is_triton_image=is_triton_image,
        has_paddle=has_paddle,
        has_onnxruntime_gpu=has_onnxruntime_gpu,
    )


@pytest.mark.parametrize(
    ("device", "parsed"),
    [("cpu", ("cpu", ())), ("GPU", ("gpu", ())), ("gpu:0", ("gpu", (0,))), ("npu:2,3", ("npu", (2, 3)))],
)
def test_a_device(device: str, parsed: Any) -> None:
    assert parse_device(device) == parsed


@pytest.mark.parametrize("device", ["", "tpu", "gpu:", "gpu:a", "gpu:0:1", "gpu:-1", "cpu:0", "gpu 0"])
def test_an_invalid_device(device: str) -> None:
    with pytest.raises(UnsupportedDeviceError, match=repr(device)):
        parse_device(device)


@pytest.mark.parametrize(
    ("device", "use_hpip", "profile"),
    [
        (None, None, None),
        (None, True, None),
        ("cpu", None, "cpu_high_performance"),
        ("cpu", True, "cpu_high_performance"),
        ("cpu", False, "cpu_regular"),
        (None, False, "cpu_regular"),
    ],
)
def test_a_cpu(device: Any, use_hpip: Any, profile: Any) -> None:
    assert choose_placement(device, use_hpip, machine(has_paddle=True)) == Placement(profile)


def test_the_regular_profile_needs_paddle() -> None:
    with pytest.raises(DependencyError, match="`make serve PROFILE=cpu_regular` in the checkout"):
        choose_placement(None, False, machine(has_paddle=False))


def test_the_local_server_uses_what_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "detect", lambda: machine(has_paddle=False))
    with pytest.raises(DependencyError, match="`make serve PROFILE=cpu_regular` in the checkout"):
        create_pipeline(use_hpip=False)


@pytest.mark.parametrize(
    ("device", "use_hpip", "chosen"),
    [
        ("npu:0", None, "npu:0"),
        ("XPU:1,0", False, "xpu:1,0"),
        ("mlu", None, "mlu"),
        ("dcu:3", None, "dcu:3"),
        ("intel_gpu:1", True, "intel_gpu:1"),
        ("intel_npu", None, "intel_npu"),
    ],
)
def test_the_launcher_chooses_the_profile_of_another_device(device: str, use_hpip: Any, chosen: str) -> None:
    assert choose_placement(device, use_hpip, machine()) == Placement(device=chosen)


@pytest.mark.parametrize(
    ("device", "use_hpip", "mode"), [("npu:0", True, "regular"), ("intel_npu", False, "high-performance")]
)
def test_a_device_has_one_mode_only(device: str, use_hpip: bool, mode: str) -> None:
    with pytest.raises(UnsupportedDeviceError, match=f"has the {mode} mode only, .*: leave use_hpip out"):
        create_pipeline(device=device, use_hpip=use_hpip)


def test_every_device_of_the_launcher_is_known() -> None:
    for kind in KINDS:
        assert parse_device(kind) == (kind, ())


@pytest.mark.parametrize("device", ["gcu:0", "iluvatar_gpu:0", "metax_gpu:0"])
def test_a_device_that_is_not_supported_says_what_to_install(device: str) -> None:
    kind = device.split(":", maxsplit=1)[0].replace("_", "-")
    message = (
        rf"install PaddleX with paddle-[a-z-]*{kind}, start `paddlex --serve .*--device {device}` and pass its address"
    )
    with pytest.raises(UnsupportedDeviceError, match=message):
        create_pipeline(device=device)


def test_a_gpu_outside_of_the_image() -> None:
    here = machine(has_nvidia_gpu=True, has_onnxruntime_gpu=True)
    assert choose_placement("gpu", None, here) == choose_placement("gpu", False, here) == Placement("gpu_regular")
    assert choose_placement("gpu:1", None, here) == Placement("gpu_regular", {"CUDA_VISIBLE_DEVICES": "1"})
    assert choose_placement("gpu:0,2", False, here).environment == {"CUDA_VISIBLE_DEVICES": "0,2"}
    with pytest.raises(UnsupportedDeviceError, match="TensorRT, which only Triton's container image has"):
        choose_placement("gpu", True, here)


def test_a_gpu_in_the_image() -> None:
    here = machine(has_nvidia_gpu=True, is_triton_image=True)
    assert choose_placement("gpu", None, here).profile == "gpu_high_performance"
    assert choose_placement("gpu", True, here).profile == "gpu_high_performance"
    assert choose_placement("gpu", False, here).profile == "gpu_regular"


@pytest.mark.parametrize(("use_hpip", "profile"), [(None, "cpu_high_performance"), (False, "cpu_regular")])
def test_without_a_gpu_the_cpu_is_used_as_in_paddlex(use_hpip: bool | None, profile: str) -> None:
    with pytest.warns(SodWarning, match="device 'gpu:0' is not available: .*; the CPU is used, as in PaddleX"):
        assert choose_placement("gpu:0", use_hpip, machine(has_paddle=True)) == Placement(profile)


def test_the_high_performance_profile_of_a_gpu_needs_one() -> None:
    with pytest.raises(UnsupportedDeviceError, match="no NVIDIA GPU, or its driver is not installed"):
        choose_placement("gpu:0", True, machine(has_onnxruntime_gpu=True))


def test_a_gpu_without_onnxruntime_gpu() -> None:
    with pytest.raises(DependencyError, match="pip install onnxruntime-gpu"):
        choose_placement("gpu:0", None, machine(has_nvidia_gpu=True))

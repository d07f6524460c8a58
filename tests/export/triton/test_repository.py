"""The configuration of a model: the templates, and the files written beside other models."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export import paddle_export
from export.cli import main
from export.errors import ExportError
from export.paddle.inference_model import find_model, read_nms, remove_nms
from export.precision import Limits
from export.serving_options import ServingOptions
from export.triton.model_name import served_name
from export.triton.model_spec import MAX_BATCH_SIZE, ModelSpec
from export.triton.profiles import PROFILES
from export.triton.repository import pending_files
from export.triton.templates import (
    detector_files,
    ensemble_files,
    pixel_entrance_files,
    postprocess_files,
    preprocess_files,
    quote,
)
from export.verification.images import synthetic_image
from sod.nms import NmsConfig
from tests.export.tiny_model import LABELS, NMS, make_tiny_paddle_model

BUNDLED = Path(__file__).parents[3] / "model_repository"
OFFICIAL = {
    "PP-YOLOE_plus_SOD-S": (640, 8400),
    "PP-YOLOE_plus_SOD-L": (640, 8400),
    "PP-YOLOE_plus_SOD-largesize-L": (1920, 75600),
    "PP-YOLOE_plus_SOD-demo": (640, 8400),
}
WEIRD = ["it's", '"quoted"', "back\\slash", "行人", "🚗", "a\nb", "tab\t", "#{}%s", "é", "مشاة", "\u2028", "\\'\""]


def spec(name: str = "mine", labels: tuple[str, ...] = ("a", "b"), size: int = 96, **changes: Any) -> ModelSpec:
    return dataclasses.replace(ModelSpec(name, labels, size, size, anchors=189), **changes)


def all_files(model: ModelSpec) -> dict[str, str]:
    """Path in the repository → content."""
    folders = {
        model.preprocess: preprocess_files(model),
        model.postprocess: postprocess_files(model),
        model.detector: detector_files(model),
        model.pixel_entrance: pixel_entrance_files(model),
        model.name: ensemble_files(model),
    }
    return {f"{folder}/{path}": text for folder, files in folders.items() for path, text in files.items()}


def parse(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The templates


def test_the_bundled_repository_is_what_the_template_makes() -> None:
    expected: dict[str, str] = {}
    for name, (size, anchors) in OFFICIAL.items():
        expected |= all_files(ModelSpec(name, tuple(LABELS), size, size, anchors, paddle=not name.endswith("demo")))
    there = {
        str(path.relative_to(BUNDLED)): path.read_text(encoding="utf-8")
        for path in BUNDLED.rglob("*")
        if path.suffix in (".pbtxt", ".py")
    }
    assert there == {path: text for path, text in expected.items() if not path.endswith(".gitkeep")}


@pytest.mark.parametrize("model", [spec(labels=tuple(WEIRD)), spec("x.y+z-1_"), spec(height=64, width=320)])
def test_every_config_is_one_that_triton_reads(model: ModelSpec) -> None:
    files = all_files(model)
    configs = {path: parse(text) for path, text in files.items() if path.endswith(".pbtxt")}
    for path, config in configs.items():
        assert config.name == path.split("/")[0]
        assert config.max_batch_size == 8
    ensemble = configs[f"{model.name}/config.pbtxt"]
    assert [step.model_name for step in ensemble.ensemble_scheduling.step] == [
        model.preprocess,
        model.detector,
        model.postprocess,
    ]
    detector = configs[f"{model.name}_detector/config.pbtxt"]
    classes = len(model.labels)
    assert [list(tensor.dims) for tensor in detector.input] == [[model.height, model.width, 3]]
    assert [list(tensor.dims) for tensor in detector.output] == [[189, 4], [classes, 189]]
    assert list(ensemble.input[1].dims) == [classes]
    assert list(detector.model_warmup[0].inputs["pixels"].dims) == [model.height, model.width, 3]
    assert {path.partition("/")[2] for path in configs if path.startswith(f"{model.name}_detector/")} == {
        profile.path for profile in PROFILES
    }


def test_labels_of_any_script_come_back_as_they_were() -> None:
    text = ensemble_files(spec(labels=tuple(WEIRD)))["config.pbtxt"]
    assert json.loads(parse(text).parameters["labels"].string_value) == WEIRD
    assert "行人" in text
    assert "🚗" in text


@pytest.mark.parametrize("text", ["", "'", '"', "\\", "\\\\'\"", "\n\r\0", "行人 'x' \"y\"", '["it\'s"]', "\x7f\u2028"])
def test_quoting_is_undone_by_protobuf(text: str) -> None:
    assert parse(f"name: {quote(text)}").name == text
    assert "\n" not in quote(text)


@pytest.mark.parametrize(
    ("height", "width", "folder", "batch"),
    [
        (96, 96, "preprocess_96", 8),
        (640, 960, "preprocess_960x640", 8),
        (1280, 1280, "preprocess_1280", 8),
        (1920, 1920, "preprocess_1920", 4),
        (2560, 2560, "preprocess_2560", 2),
        (4096, 4096, "preprocess_4096", 1),
    ],
)
def test_the_input_size_determines_stage_and_batch(height: int, width: int, folder: str, batch: int) -> None:
    model = spec(height=height, width=width)
    assert (model.preprocess, model.batch_size) == (folder, batch)
    config = parse(preprocess_files(model)["config.pbtxt"])
    assert list(config.output[0].dims) == [height, width, 3]
    assert config.max_batch_size >= batch


def test_options_override_the_defaults() -> None:
    model = spec(options=ServingOptions(max_batch_size=2, default_threshold={1: 0.25, 0: 0.5}))
    ensemble = parse(ensemble_files(model)["config.pbtxt"])
    assert ensemble.max_batch_size == 2
    assert json.loads(ensemble.parameters["default_threshold"].string_value) == {"0": 0.5, "1": 0.25}
    assert json.loads(ensemble.parameters["input_size"].string_value) == [96, 96]
    assert "default_threshold" not in parse(ensemble_files(spec())["config.pbtxt"]).parameters


def test_another_nms_gets_its_own_stage() -> None:
    model = spec(nms=NmsConfig(0.025, 300, 20, 0.45))
    assert model.postprocess == "postprocess_mine"
    parameters = parse(postprocess_files(model)["config.pbtxt"]).parameters
    assert {key: float(value.string_value) for key, value in parameters.items()} == {
        "score_threshold": 0.025,
        "nms_top_k": 300,
        "keep_top_k": 20,
        "iou_threshold": 0.45,
    }


# Beside other models


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The bundled repository, without weights."""
    return shutil.copytree(BUNDLED, tmp_path / "models", ignore=shutil.ignore_patterns("*.onnx", "inference.*"))


def test_no_folder_of_another_model_changes(repository: Path) -> None:
    before = contents(repository)
    written = pending_files(spec(size=640, anchors=8400), repository).write()
    after = contents(repository)
    assert {path: after[path] for path in before} == before
    folders = {path.relative_to(repository).parts[0] for path in written}
    assert folders == {"mine", "mine_detector", "mine_pixels"}
    assert len(after) == len(before) + len(written)
    assert written[-1].parent.parent.name == "mine", "the ensemble comes last"


def test_existing_files_are_not_written_again(repository: Path) -> None:
    model = spec(labels=("行人", "it's"), nms=NmsConfig(iou_threshold=0.5))
    assert {path.relative_to(repository).parts[0] for path in pending_files(model, repository).write()} == {
        "mine",
        "mine_detector",
        "mine_pixels",
        "preprocess_96",
        "postprocess_mine",
    }
    before = contents(repository)
    assert pending_files(model, repository).write() == []
    assert contents(repository) == before


def test_a_new_export_keeps_the_user_s_changes(repository: Path) -> None:
    pending_files(spec(), repository).write()
    detector, shared = repository / "mine_detector" / "config.pbtxt", repository / "postprocess" / "config.pbtxt"
    for path in (detector, shared):
        path.write_text(
            path.read_text().replace("dynamic_batching { }", "dynamic_batching { preferred_batch_size: 4 }")
        )
    before = contents(repository)
    assert pending_files(spec(), repository).write() == []
    assert contents(repository) == before
    again = spec(options=ServingOptions(overwrite=True))
    assert pending_files(again, repository).write() == [detector]
    assert contents(repository)["postprocess/config.pbtxt"] == before["postprocess/config.pbtxt"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": ("b", "a")}, "differs in its labels"),
        ({"labels": ("a", "b", "c")}, "--overwrite"),
        ({"height": 128, "width": 128, "anchors": 336}, "differs in its input"),
        ({"anchors": 336}, "differs in its output"),
        ({"nms": NmsConfig(keep_top_k=5)}, "differs in its stages"),
        ({"options": ServingOptions(max_batch_size=4)}, "differs in its batch size"),
        ({"options": ServingOptions(default_threshold=0.3)}, "differs in its default threshold"),
    ],
)
def test_a_different_model_is_replaced_only_on_demand(repository: Path, changed: dict[str, Any], said: str) -> None:
    pending_files(spec(), repository).write()
    before = contents(repository)
    other = spec(**changed)
    with pytest.raises(ExportError, match=said):
        pending_files(other, repository)
    assert contents(repository) == before
    other = dataclasses.replace(other, options=dataclasses.replace(other.options, overwrite=True))
    pending_files(other, repository).write()
    after = contents(repository)
    assert after["mine/config.pbtxt"].decode() == ensemble_files(other)["config.pbtxt"]
    assert {path: after[path] for path in before if not path.startswith("mine")} == {
        path: content for path, content in before.items() if not path.startswith("mine")
    }


def test_another_nms_is_an_error(repository: Path) -> None:
    pending_files(spec(nms=NmsConfig(keep_top_k=5)), repository).write()
    with pytest.raises(ExportError, match=r"postprocess_mine/config\.pbtxt differs in its keep_top_k"):
        pending_files(spec(nms=NmsConfig(keep_top_k=6)), repository)


@pytest.mark.parametrize(
    "name", ["postprocess", "postprocess_x", "preprocess_640", "preprocess", "PP-YOLOE_plus_SOD-S_detector"]
)
def test_a_name_of_a_stage_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="choose one"):
        pending_files(spec(name), tmp_path)


def test_a_name_in_another_script_gets_an_alias(small_model: Path) -> None:
    assert find_model(small_model, "行人").config.model_name == served_name("行人")


@pytest.mark.parametrize("name", ["a/b", "../x", ".hidden", "", "with space", "a\nb"])
def test_an_invalid_name_is_rejected(small_model: Path, name: str) -> None:
    with pytest.raises(ExportError, match="choose one"):
        find_model(small_model, name)


def test_a_folder_of_another_kind_of_model_is_not_changed(tmp_path: Path) -> None:
    config = tmp_path / "mine" / "config.pbtxt"
    config.parent.mkdir()
    config.write_text('name: "mine" backend: "python"')
    with pytest.raises(ExportError, match="mine in the repository is another kind of model"):
        pending_files(spec(options=ServingOptions(overwrite=True)), tmp_path)
    config.write_text("not a config {")
    with pytest.raises(ExportError, match="cannot be read as a Triton configuration"):
        pending_files(spec(), tmp_path)


@pytest.mark.parametrize(
    ("folder", "old", "new", "said"),
    [
        ("preprocess_640", "640, 640, 3", "320, 640, 3", r"differs in its output \(pixels\)"),
        ("postprocess", '"0.6"', '"0.5"', "differs in its iou_threshold"),
    ],
)
def test_a_shared_stage_that_does_not_fit_is_an_error(
    repository: Path, folder: str, old: str, new: str, said: str
) -> None:
    config = repository / folder / "config.pbtxt"
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(ExportError, match=said):
        pending_files(spec(size=640, anchors=8400, options=ServingOptions(overwrite=True)), repository)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (spec(labels=("a\ud800", "b")), r"the label 'a\\ud800' cannot be encoded"),
        (spec(options=ServingOptions(max_batch_size=MAX_BATCH_SIZE + 1)), "a batch size of 9 is not supported"),
        (spec(options=ServingOptions(max_batch_size=0)), "choose 1 to 8"),
        (spec(options=ServingOptions(default_threshold={2: 0.5})), "class id 2; the model's class ids are 0 to 1"),
    ],
)
def test_invalid_values_are_rejected(tmp_path: Path, model: ModelSpec, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        pending_files(model, tmp_path)


def test_a_repository_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("a file where the folder should be")
    with pytest.raises(ExportError, match="cannot be written"):
        pending_files(spec(), tmp_path).write()


# The model's own NMS


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, NmsConfig()),
        ({"score_threshold": 0.05, "nms_threshold": 0.45}, NmsConfig(score_threshold=0.05, iou_threshold=0.45)),
        ({"nms_top_k": -1, "keep_top_k": -1}, NmsConfig(nms_top_k=189, keep_top_k=567)),
        ({"score_threshold": -1.0}, NmsConfig(score_threshold=0.0)),
    ],
)
def test_the_nms_is_read_from_its_operator(changed: dict[str, Any], expected: NmsConfig) -> None:
    attributes = {key: float(np.float32(v)) if isinstance(v, float) else v for key, v in (NMS | changed).items()}
    assert read_nms(attributes, anchors=189, classes=3) == expected


@pytest.mark.parametrize(
    ("name", "value"), [("nms_eta", 0.9), ("normalized", False), ("background_label", 0), ("background_label", 3)]
)
def test_an_unsupported_nms_attribute_is_named(name: str, value: object) -> None:
    with pytest.raises(ExportError, match=f"NMS has {name} {value}: only"):
        read_nms(NMS | {name: value}, 1, 1)


def test_an_nms_without_an_attribute_is_refused() -> None:
    with pytest.raises(ExportError, match="no attribute 'keep_top_k'"):
        read_nms({key: value for key, value in NMS.items() if key != "keep_top_k"}, 1, 1)


def test_a_model_of_any_size_classes_and_nms(tmp_path: Path) -> None:
    """Not square, with labels of any script and its own NMS; the export itself compares it with Paddle."""
    nms = {"score_threshold": 0.02, "nms_threshold": 0.3, "keep_top_k": 7}
    model = find_model(
        make_tiny_paddle_model(tmp_path / "model", size=(96, 160), labels=["行人", "it's", "🚗"], nms=nms), "mine"
    )
    pre_nms = remove_nms(model, tmp_path)
    assert pre_nms.nms == NmsConfig(score_threshold=0.02, iou_threshold=0.3, keep_top_k=7)
    assert (pre_nms.anchors, pre_nms.classes) == (15 + 60 + 240, 3)
    written = paddle_export.export_detector(model, tmp_path / "r", [synthetic_image()], limits=Limits())
    assert {path.relative_to(tmp_path / "r").parts[0] for path in written} == {
        "mine",
        "mine_detector",
        "mine_pixels",
        "preprocess_160x96",
        "postprocess_mine",
    }


def test_a_conflict_is_an_error_before_anything_is_converted(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "r"
    pending_files(spec(labels=("other",)), repository).write()
    before = contents(repository)
    monkeypatch.setattr(paddle_export, "convert", lambda *_: pytest.fail("converted"))
    assert main(["--model_dir", str(small_model), "--output_dir", str(repository), "--name", "mine"]) == 2
    assert "differs in its" in capsys.readouterr().err
    assert contents(repository) == before


def test_files_of_an_earlier_export_are_named(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = tmp_path / "r" / "mine_detector" / "1"
    version.mkdir(parents=True)
    (version / "model.plan").write_bytes(b"of other weights")
    assert main(["--model_dir", str(small_model), "--output_dir", str(tmp_path / "r"), "--name", "mine"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "model.plan" in line]
    assert said == [
        f"{version / 'model.plan'} is from an earlier export with other weights: export it again or delete it"
    ]
    assert (version / "model.plan").read_bytes() == b"of other weights"

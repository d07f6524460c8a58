import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from export.cli import _parser, main
from export.errors import ExportError
from export.paddle.paddlex_pipeline import MODULE, PipelineFile, read_pipeline_file, source_of
from export.triton.repository import read_config


def pipeline(**settings: Any) -> dict[str, Any]:
    module = {
        "module_name": "small_object_detection",
        "model_name": "mine",
        "model_dir": "some/where",
        "batch_size": 1,
        "threshold": 0.5,
    }
    return {"pipeline_name": "small_object_detection", "SubModules": {MODULE: module | settings}}


def write(path: Path, document: object) -> Path:
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, PipelineFile("mine", Path("some/where"), None, 0.5)),  # batch_size: 1
        ({"model_dir": None, "batch_size": None, "threshold": None}, PipelineFile("mine", None, None, None)),
        ({"threshold": {0: 0.5, 3: 1}, "batch_size": 8}, PipelineFile("mine", Path("some/where"), 8, {0: 0.5, 3: 1.0})),
    ],
)
def test_what_is_read(tmp_path: Path, settings: dict[str, Any], expected: PipelineFile) -> None:
    path = write(tmp_path / "p.yaml", pipeline(**settings))
    assert read_pipeline_file(path) == expected
    assert source_of(None, path) == expected
    assert source_of(path, None) == expected


def test_a_folder_has_no_further_settings(tmp_path: Path) -> None:
    assert source_of(tmp_path, None) == PipelineFile(None, tmp_path, None, None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nms": 0.5, "device": "gpu"}, "an unsupported setting: device, nms"),
        ({"module_name": "object_detection"}, "module_name is 'object_detection'"),
        ({"model_name": None}, "model_name is None"),
        ({"model_dir": 3}, "model_dir is 3"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": True}, "batch_size is True"),
        ({"batch_size": "many"}, "batch_size is 'many'"),
        ({"threshold": 1.5}, "threshold contains 1.5"),
        ({"threshold": "high"}, "threshold contains 'high'"),
        ({"threshold": {0: float("nan")}}, "threshold contains nan"),
        ({"threshold": {"car": 0.5}}, "key 'car'"),
        ({"threshold": {-1: 0.5}}, "key -1"),
        ({"threshold": [0.5]}, r"threshold contains \[0.5\]"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "p.yaml", pipeline(**settings))
    with pytest.raises(ExportError, match=said) as caught:
        read_pipeline_file(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "contains no settings"),
        ({"pipeline_name": "OCR"}, "pipeline_name is 'OCR'"),
        ({"pipeline_name": "small_object_detection"}, "SubModules.SmallObjectDetection is missing"),
        (
            {**pipeline(), "SubModules": {**pipeline()["SubModules"], "DocPreprocessor": {}}},
            "SubModules has modules beside SmallObjectDetection: DocPreprocessor",
        ),
    ],
)
def test_another_pipeline_is_an_error(tmp_path: Path, document: object, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        read_pipeline_file(write(tmp_path / "p.yaml", document))


def test_settings_of_paddlex_s_serving_give_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "p.yaml", {**pipeline(), "Serving": {"visualize": False}, "use_hpip": True})
    with caplog.at_level(logging.WARNING):
        assert read_pipeline_file(path).model_name == "mine"
    assert "Serving, use_hpip" in caplog.text


def test_paddlex_s_batch_size_leaves_the_choice_to_the_export(tmp_path: Path) -> None:
    assert read_pipeline_file(write(tmp_path / "p.yaml", pipeline(batch_size=1))).batch_size is None
    assert read_pipeline_file(write(tmp_path / "p.yaml", pipeline(batch_size=8))).batch_size == 8


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00"])
def test_a_file_that_is_not_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"p\.yaml"):
        read_pipeline_file(path)
    with pytest.raises(ExportError, match="cannot be read"):
        read_pipeline_file(tmp_path / "absent.yaml")


def test_the_command_exports_what_the_file_says(small_model: Path, tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.yaml",
        pipeline(model_name="street", model_dir=str(small_model), batch_size=4, threshold={2: 0.25}),
    )
    assert main(["--pipeline", str(path), "--output_dir", str(tmp_path / "r"), "--no-paddle"]) == 0
    ensemble = read_config(tmp_path / "r" / "street" / "config.pbtxt")
    assert ensemble.max_batch_size == 4
    assert ensemble.parameters["default_threshold"].string_value == '{"2": 0.25}'
    assert (tmp_path / "r" / "street_detector" / "1" / "model.onnx").is_file()


def test_the_default_threshold_is_that_of_the_file_or_else_of_the_model(small_model: Path, tmp_path: Path) -> None:
    model = shutil.copytree(small_model, tmp_path / "model")
    config = yaml.safe_load((model / "inference.yml").read_text())
    (model / "inference.yml").write_text(yaml.safe_dump({**config, "draw_threshold": 0.35}))
    for threshold, written in ((None, "0.35"), (0.2, "0.2")):
        path = write(tmp_path / "p.yaml", pipeline(model_name="street", model_dir=str(model), threshold=threshold))
        output = tmp_path / written
        assert main(["--pipeline", str(path), "--output_dir", str(output), "--no-paddle", "--precision", "fp32"]) == 0
        ensemble = read_config(output / "street" / "config.pbtxt")
        assert ensemble.parameters["default_threshold"].string_value == written


def test_an_official_model_without_a_folder_is_downloaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SOD_MODEL_MIRROR", "http://127.0.0.1:9/")  # nothing listens on this port
    path = write(tmp_path / "p.yaml", pipeline(model_name="PP-YOLOE_plus_SOD-S", model_dir=None))
    assert main(["--model_dir", str(path), "--output_dir", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9/PP-YOLOE_plus_SOD-S_infer.tar" in error
    assert "MODEL_DIR=" in error


def test_exactly_one_source_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "nothing to export: give --model_dir, --model" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--model_dir", "x", "--pipeline", "y"])
    assert stop.value.code == 2


def test_the_export_writes_where_the_server_looks() -> None:
    from server.cli import REPOSITORY

    assert _parser("sod export").parse_args(["--model", "all"]).output_dir == REPOSITORY

"""Models that an earlier version has exported get the optional inputs of this one."""

import re
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.errors import ExportError
from export.triton.repository import pending_files, read_config
from sod.nms import NmsConfig
from tests.export.triton.test_repository import spec

NEW_INPUTS = re.compile(r' +(?:\{ name:|input_map \{ key:) "(?:iou_threshold|class_agnostic)".*\n')


def in_order(path: Path) -> ModelConfig:
    """A configuration whose inputs are sorted."""
    config = read_config(path)
    inputs = sorted(config.input, key=lambda tensor: tensor.name)
    del config.input[:]
    config.input.extend(inputs)
    return config


@pytest.mark.parametrize("nms", [NmsConfig(), NmsConfig(keep_top_k=5)])
def test_a_model_of_an_earlier_version_gets_the_new_optional_inputs(tmp_path: Path, nms: NmsConfig) -> None:
    pending_files(spec(nms=nms), tmp_path).write()
    expected = {path: in_order(path) for path in tmp_path.glob("*/config.pbtxt")}
    earlier = []
    for path, config in expected.items():
        text = NEW_INPUTS.sub("", path.read_text()).replace("},\n]", "}\n]")
        text = text.replace(" dims: [ 1 ] optional: true", " dims: [ 1 ]")  # `error` was not optional
        if path.parent.name.startswith("postprocess"):  # the user's change is kept
            text = text.replace("dynamic_batching { }", "dynamic_batching { preferred_batch_size: 4 }")
            config.dynamic_batching.preferred_batch_size.append(4)
        if text != path.read_text():
            path.write_text(text)
            earlier.append(path)
    assert len(earlier) == 3
    assert sorted(pending_files(spec(nms=nms), tmp_path).write()) == sorted(earlier)
    assert {path: in_order(path) for path in expected} == expected
    assert pending_files(spec(nms=nms), tmp_path).write() == []


@pytest.mark.parametrize(
    ("present", "other"),
    [
        ('dims: [ -1, 4 ] },\n  { name: "scores', 'dims: [ -1, 5 ] },\n  { name: "scores'),  # an output
        ('raw_boxes" data_type: TYPE_FP32', 'raw_boxes" data_type: TYPE_FP16'),
        ('  { name: "error"', '  { name: "further" data_type: TYPE_FP32 dims: [ 1 ] },\n  { name: "error"'),
    ],
)
def test_another_stage_is_not_taken_for_an_earlier_one(tmp_path: Path, present: str, other: str) -> None:
    pending_files(spec(), tmp_path).write()
    stage = tmp_path / "postprocess/config.pbtxt"
    text = NEW_INPUTS.sub("", stage.read_text())
    assert present in text
    stage.write_text(text.replace(present, other, 1))
    with pytest.raises(ExportError, match="is not the stage that this model needs"):
        pending_files(spec("another"), tmp_path)

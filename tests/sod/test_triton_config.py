"""Numbers in the configuration of Triton's Python stages."""

import json
import sys
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def make_config(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the configuration of a stage with these parameters; its module needs Triton's, of which it uses nothing."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
    monkeypatch.delitem(sys.modules, "sod.triton.requests", raising=False)
    from sod.triton.requests import ModelConfig

    monkeypatch.delitem(sys.modules, "sod.triton.requests")

    def make(**parameters: str) -> ModelConfig:
        values = {key: {"string_value": value} for key, value in parameters.items()}
        return ModelConfig(
            {
                "model_config": json.dumps({"name": "preprocess_640", "parameters": values}),
                "model_repository": "",
                "model_version": "1",
                "model_instance_kind": "CPU",
                "model_instance_device_id": "0",
            }
        )

    return make


def test_numbers_have_the_type_of_their_default(make_config: Any) -> None:
    config = make_config(max_image_scans="7", task_timeout_s="2.5")
    assert config.number("max_image_scans", 500, least=1) == 7
    assert config.number("task_timeout_s", 30.0, least=0.1) == 2.5
    assert config.number("max_image_metadata_bytes", 8, least=0) == 8


@pytest.mark.parametrize("text", ["", "many", "0", "-1", "1.5", "nan"])
def test_a_malformed_number_is_named(make_config: Any, text: str) -> None:
    with pytest.raises(
        ValueError, match=r"parameter max_image_scans of preprocess_640 is .*a whole number of at least 1"
    ):
        make_config(max_image_scans=text).number("max_image_scans", 500, least=1)


@pytest.mark.parametrize("text", ["", "long", "0", "-1", "nan", "inf"])
def test_a_malformed_time_is_named(make_config: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"parameter task_timeout_s of preprocess_640 is .*a number of at least 0\.1"):
        make_config(task_timeout_s=text).number("task_timeout_s", 30.0, least=0.1)

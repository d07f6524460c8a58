"""The settings that are stored beside a checkpoint."""

from dataclasses import replace

import pytest

from finetune.errors import FinetuneError
from finetune.training.settings import Settings
from tests.finetune.settings import SETTINGS


def test_settings_are_stored_and_read_back(tmp_path):
    SETTINGS.write(tmp_path / "settings.json")
    assert Settings.read(tmp_path / "settings.json") == SETTINGS
    unknown = replace(SETTINGS, base_names=None)
    unknown.write(tmp_path / "settings.json")
    assert Settings.read(tmp_path / "settings.json") == unknown


def test_differences_are_listed():
    assert SETTINGS.differences(SETTINGS) == []
    assert SETTINGS.differences(replace(SETTINGS, batch=8, data="1")) == ["batch (4, now 8)", "the data"]


def test_a_longer_training_prolongs_this_one():
    assert SETTINGS.differences(replace(SETTINGS, steps=90, report=4, evaluate=9, save=20)) == []
    assert SETTINGS.differences(replace(SETTINGS, steps=90, seed=2)) == ["seed (1, now 2)"]
    assert SETTINGS.differences(replace(SETTINGS, steps=50)) == ["steps (60, now 50)"]


@pytest.mark.parametrize("text", ["", "{}", '{"base_names": null}', '{"base_names": null, "more": 1}', "[]"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(FinetuneError, match="does not hold the settings of a training"):
        Settings.read(tmp_path / "settings.json")

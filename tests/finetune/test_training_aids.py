"""The learning rate, the log, the curves, the settings."""

import json
from dataclasses import replace

import cv2
import pytest

from finetune.errors import FinetuneError
from finetune.training import curves
from finetune.training.log import Log
from finetune.training.schedule import rate
from finetune.training.settings import Settings

SETTINGS = Settings(
    name="mine", variant="demo", base="model.onnx", base_names=("car",), size=320, batch=4, steps=60, rate=1e-3,
    turn=False, plain=False, report=1, evaluate=10, save=10, seed=1, data="0" * 64,
)  # fmt: skip


def test_the_rate_rises_stays_and_falls():
    rates = [rate(step, 2.0, 1000, 400) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[:100] == sorted(rates[:100])
    assert set(rates[100:601]) == {2.0}
    assert rates[600:] == sorted(rates[600:], reverse=True)
    assert rates[1000] == pytest.approx(0.04)


def test_a_short_training_warms_up_for_a_tenth():
    assert rate(9, 1.0, 100, 0) == 1.0
    assert rate(4, 1.0, 100, 0) == 0.5


def write_log(work, steps=40):
    log = Log(work, 10)
    for step in range(1, steps + 1):
        log.learnt(step, 4, {"loss": 3 / step, "class": 1 / step, "iou": 1 / step, "dfl": 1 / step})
    log.write({"step": steps, "ap": 0.123456, "ap50": 0.5, "ap_small": float("nan"), "classes": {}})


def test_the_log_has_a_line_every_so_many_steps(tmp_path, capsys):
    write_log(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 40]
    assert lines[0]["per_second"] > 0
    assert lines[-1]["ap"] == 0.1235
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_curves_are_drawn(tmp_path):
    write_log(tmp_path)
    curves.draw(tmp_path / "log.jsonl", tmp_path / "curves.png")
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image.shape[1] > 800
    assert [f.name for f in tmp_path.glob("*.png")] == ["curves.png"]


def test_curves_of_nothing_are_empty(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    curves.draw(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_settings_are_kept(tmp_path):
    SETTINGS.write(tmp_path / "settings.json")
    assert Settings.read(tmp_path / "settings.json") == SETTINGS
    unknown = replace(SETTINGS, base_names=None)
    unknown.write(tmp_path / "settings.json")
    assert Settings.read(tmp_path / "settings.json") == unknown


def test_what_differs_is_said():
    assert SETTINGS.differences(SETTINGS) == []
    assert SETTINGS.differences(replace(SETTINGS, batch=8, data="1")) == ["batch (4, now 8)", "the data"]


@pytest.mark.parametrize("text", ["", "{}", '{"base_names": null}', '{"base_names": null, "more": 1}', "[]"])
def test_other_files_are_no_settings(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(FinetuneError, match="not a training's settings"):
        Settings.read(tmp_path / "settings.json")

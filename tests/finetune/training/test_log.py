"""The training log and its curves."""

import json

import cv2

from finetune.training import curves
from finetune.training.log import Log


def write_log(work, steps=40):
    log = Log(work, 10)
    for step in range(1, steps + 1):
        log.record_step(step, 4, {"loss": 3 / step, "class": 1 / step, "iou": 1 / step, "dfl": 1 / step})
    log.write({"step": steps, "ap": 0.123456, "ap50": 0.5, "ap_small": float("nan"), "classes": {}})


def test_the_log_has_a_line_at_every_interval(tmp_path, capsys):
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


def test_the_curves_of_an_empty_log_are_a_chart(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    curves.draw(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0

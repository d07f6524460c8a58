"""`python -m finetune` from end to end: it overfits four images, is stopped, resumes, and exports the model."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from export.triton.model_name import served_name
from export.triton.model_spec import ModelSpec
from export.triton.repository import pending_files
from finetune.command import main


def test_errors_in_the_data_stop_it_before_training(four, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).symlink_to(four / kind)
    (tmp_path / "data/data.yaml").write_text("names: [car]\ntrain: images\nval: images\n")
    out = tmp_path / "out"
    assert main(["--data", str(tmp_path / "data"), "--out", str(out)]) == 2
    printed = capsys.readouterr().err
    assert "error: unknown class" in printed
    assert "correct them" in printed
    assert [f.name for f in out.iterdir()] == ["labels.jpg"]


def test_a_check_does_not_train(four, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["--data", str(four), "--out", str(out), "--check"]) == 0
    assert "own awning-tricycle" in capsys.readouterr().err
    assert cv2.imread(str(out / "labels.jpg")).shape == (360, 1920, 3)
    assert [f.name for f in out.iterdir()] == ["labels.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base", "PP-YOLO"], "must be demo, PP-YOLOE_plus_SOD-S"),
        (["--base", "gone.pdparams"], "there is no gone.pdparams"),
        (["--size", "333"], "multiple of 32"),
        (["--size", "1280"], "multiple of 32"),
        (["--batch", "0"], "must be positive"),
    ],
)
def test_impossible_settings_are_refused(four, tmp_path, capsys, arguments, message):
    assert main(["--data", str(four), "--out", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


class TestBeforeTheFirstStep:
    """Whatever would fail after hours of training is found before it, also by --check."""

    def check(self, four, tmp_path, *arguments):
        where = ["--out", str(tmp_path / "out"), "--output_dir", str(tmp_path / "models")]
        return main(["--data", str(four), "--check", *where, *arguments])

    def test_a_name_in_another_script_gets_a_stated_alias(self, four, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        models = ["--output_dir", str(tmp_path / "models")]
        assert main(["--data", str(four), "--check", "--name", "我的模型", *models]) == 0
        alias = served_name("我的模型")
        assert f"note: the model 我的模型 is served as {alias}" in capsys.readouterr().err
        assert (tmp_path / "output/finetune" / alias / "labels.jpg").is_file()

    @pytest.mark.parametrize(("name", "message"), [("my model", "is not valid"), ("x_detector", "is reserved for a")])
    def test_an_impossible_name(self, four, tmp_path, capsys, name, message):
        assert self.check(four, tmp_path, "--name", name) == 2
        assert message in capsys.readouterr().err

    def test_an_installed_model_with_other_classes(self, four, tmp_path, capsys):
        spec = ModelSpec("mine", ("car",), 640, 640, 8400)
        pending_files(spec, tmp_path / "models").write()
        assert self.check(four, tmp_path, "--name", "mine") == 2
        assert "choose another --name, or replace it with --overwrite" in capsys.readouterr().err
        assert self.check(four, tmp_path, "--name", "mine", "--overwrite") == 0

    def test_a_repository_that_is_no_folder(self, four, tmp_path, capsys):
        (tmp_path / "models").write_text("")
        assert self.check(four, tmp_path) == 2
        assert "models" in capsys.readouterr().err

    def test_an_empty_class_name(self, four, tmp_path, capsys):
        data = tmp_path / "data"
        data.mkdir()
        for kind in ("images", "labels"):
            (data / kind).symlink_to(four / kind)
        names = ", ".join(["''", *map(str, range(9))])
        (data / "data.yaml").write_text(f"names: [{names}]\ntrain: images\nval: images\n")
        assert self.check(data, tmp_path) == 2
        assert "error: class without a name, 1 time: the data set: class 0" in capsys.readouterr().err

    def test_an_image_that_cannot_be_decoded(self, four, tmp_path, capsys):
        data = tmp_path / "data"
        shutil.copytree(four, data)
        png = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (640, 640, 3), np.uint8))[1].tobytes()
        image = sorted((data / "images").iterdir())[0]
        image.write_bytes(png[:2000])  # its header is whole
        assert self.check(data, tmp_path) == 2
        assert f"error: image that cannot be decoded, 1 time: {image}" in capsys.readouterr().err


def evaluations(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "ap50" in line]


def losses(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "class" in line]


def test_it_overfits_four_images(four, ppdet_python, tmp_path):
    out, repository = tmp_path / "out", tmp_path / "models"
    settings = ["--batch", "4", "--size", "320", "--plain", "--rate", "2e-3", "--steps", "40", "--name", "four"]
    where = ["--out", out, "--output_dir", repository, "--environment", ppdet_python.parents[1]]
    command = [sys.executable, "-m", "finetune", "--data", four, *settings, *where]

    with (tmp_path / "first.txt").open("w") as output:
        first = subprocess.Popen(command, stderr=output, stdout=output)
        while not (out / "last.pdparams").exists() or not losses(out) or losses(out)[-1]["step"] < 12:
            assert first.poll() is None, (tmp_path / "first.txt").read_text()[-2000:]
            time.sleep(0.2)
        first.send_signal(signal.SIGTERM)
        assert first.wait(120) == 130
    assert "stopped at step" in (tmp_path / "first.txt").read_text()
    stopped_at = losses(out)[-1]["step"]
    assert stopped_at < 40

    other = subprocess.run([*command, "--seed", "5"], capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert "seed (1, now 5)" in other.stderr

    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr[-2000:]
    steps = [line["step"] for line in losses(out)]
    assert steps == sorted(set(steps)), "it resumed at its last step and repeated none"
    assert steps[-1] == 40
    values = [line["loss"] for line in losses(out)]
    assert np.mean(values[-3:]) < 0.7 * np.mean(values[:3])
    assert evaluations(out)[0]["ap50"] < 0.05
    assert max(line["ap50"] for line in evaluations(out)) > 0.5
    assert "four on the validation images: AP" in again.stdout
    assert cv2.imread(str(out / "curves.png")) is not None

    prolonged = subprocess.run([*command, "--steps", "44"], capture_output=True, text=True, check=False)
    assert prolonged.returncode == 0, prolonged.stderr[-2000:]
    assert "is prolonged from 40 to 44 steps" in prolonged.stderr
    assert [line["step"] for line in evaluations(out)][-1] == 44

    session = onnxruntime.InferenceSession(str(repository / "four_detector/1/model.onnx"))
    boxes, scores = session.run(["boxes", "scores"], {"pixels": np.zeros((1, 640, 640, 3), np.uint8)})
    assert boxes.shape == (1, 8400, 4)
    assert scores.shape == (1, 10, 8400)


def test_the_tests_that_need_ppdet(ppdet_python):
    """They run in ppdet's environment."""
    folder = Path(__file__).with_name("paddledet")
    command = [ppdet_python, "-m", "pytest", "-q", folder, "-p", "no:cacheprovider"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("name", ["sod finetune", "python -m finetune"])
def test_the_help_names_the_command_and_gives_each_default_once(capsys, name):
    with pytest.raises(SystemExit) as stop:
        main(["--help"], prog=name)
    assert stop.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    assert words.startswith(f"usage: {name} [-h] --data DATA")
    assert "default: None" not in words
    assert "default: False" not in words
    for option in re.split(r" (?=--\w+ [A-Z_]+ \w)", words.partition("options:")[2]):
        assert option.count("(default:") <= 1, option
    assert "(default: output/finetune/NAME)" in words

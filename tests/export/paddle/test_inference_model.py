import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from export.errors import ExportError
from export.paddle.inference_model import find_model, remove_nms
from export.paddle.parity_check import compare, compare_detections
from export.paddle.predictor import ReferenceDetector, paddle_detector
from export.paddle.runtime import import_paddle
from export.precision import Limits
from export.verification.images import synthetic_image
from sod.detections import Detections
from sod.image import to_pixels
from tests.export.tiny_model import make_tiny_paddle_model


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


@pytest.mark.parametrize("missing", ["inference.json", "inference.pdiparams", "inference.yml"])
def test_a_missing_file_is_named(small_model: Path, tmp_path: Path, missing: str) -> None:
    directory = copy(small_model, tmp_path / "model")
    (directory / missing).unlink()
    with pytest.raises(ExportError, match=missing):
        find_model(directory)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nowhere is not a directory"):
        find_model(tmp_path / "nowhere")


def as_paddledetection(directory: Path) -> Path:
    """Rename the files of PaddleX's export to those of PaddleDetection's, whose configuration names no model."""
    for path in list(directory.glob("inference.*")):
        if path.suffix != ".yml":
            path.rename(path.with_stem("model"))
    configuration = yaml.safe_load((directory / "inference.yml").read_text())
    del configuration["Global"]
    (directory / "infer_cfg.yml").write_text(yaml.safe_dump(configuration))
    (directory / "inference.yml").unlink()
    return directory


def test_paddledetections_own_export(small_model: Path, tmp_path: Path) -> None:
    directory = as_paddledetection(copy(small_model, tmp_path / "ppyoloe_plus_sod_crn_s"))
    model, other = find_model(directory), find_model(small_model)
    assert [path.name for path in (model.program, model.params)] == ["model.json", "model.pdiparams"]
    assert model.config == replace(other.config, model_name="ppyoloe_plus_sod_crn_s")
    assert find_model(directory, "mine").config.model_name == "mine"
    pixels = to_pixels(synthetic_image(), (other.config.height, other.config.width))[None]
    expected = paddle_detector(remove_nms(other, tmp_path / "other_cut"))(pixels)
    difference = compare("", expected, paddle_detector(remove_nms(model, tmp_path / "cut"))(pixels))
    assert (difference.box, difference.score) == (0, 0)


@pytest.mark.parametrize("missing", ["model.json", "model.pdiparams", "infer_cfg.yml"])
def test_a_missing_file_of_paddledetection_is_named(small_model: Path, tmp_path: Path, missing: str) -> None:
    directory = as_paddledetection(copy(small_model, tmp_path / "model"))
    (directory / missing).unlink()
    with pytest.raises(ExportError, match=missing):
        find_model(directory)


def edit_labels(directory: Path) -> None:
    path = directory / "inference.yml"
    document = yaml.safe_load(path.read_text())
    document["label_list"].append("one too many")
    path.write_text(yaml.safe_dump(document))


def edit_size(directory: Path) -> None:
    path = directory / "inference.yml"
    path.write_text(path.read_text().replace("- 96", "- 128"))


def edit_program(directory: Path) -> None:
    (directory / "inference.json").write_text("{}")


def edit_params(directory: Path) -> None:
    path = directory / "inference.pdiparams"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (edit_labels, "has 3 classes, but label_list has 4"),
        (edit_size, r"input is \[-1, 3, 96, 96\]; inference.yml says \[-1, 3, 128, 128\]"),
        (edit_program, "cannot load"),
        (edit_params, "cannot load"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    small_model: Path, tmp_path: Path, edit: Callable[[Path], None], said: str
) -> None:
    directory = copy(small_model, tmp_path / "model")
    edit(directory)
    with pytest.raises(ExportError, match=said):
        remove_nms(find_model(directory), tmp_path)


def test_a_model_without_nms_is_refused(small_model: Path, tmp_path: Path) -> None:
    directory = copy(small_model, tmp_path / "model")
    pre_nms = remove_nms(find_model(small_model), tmp_path)
    shutil.copy(pre_nms.program, directory)
    shutil.copy(pre_nms.params, directory)
    with pytest.raises(ExportError, match="0 multiclass_nms3 operators"):
        remove_nms(find_model(directory), tmp_path / "again")


def test_a_model_with_other_feeds_is_refused(small_model: Path, tmp_path: Path) -> None:
    directory = copy(small_model, tmp_path / "model")
    program = directory / "inference.json"
    program.write_text(program.read_text().replace('"scale_factor"', '"im_shape"'))
    with pytest.raises(ExportError, match=r"has the inputs \['im_shape', 'image'\]; a SOD model has"):
        remove_nms(find_model(directory), tmp_path)


def test_removing_the_nms_leaves_paddle_s_mode_alone(small_model: Path, tmp_path: Path) -> None:
    paddle = import_paddle()
    assert paddle.in_dynamic_mode()
    remove_nms(find_model(small_model), tmp_path)
    assert paddle.in_dynamic_mode()


def test_the_model_without_nms_gives_boxes_and_scores(tiny_model: Path, tmp_path: Path) -> None:
    pre_nms = remove_nms(find_model(tiny_model), tmp_path)
    assert (pre_nms.anchors, pre_nms.classes) == (8400, 10)
    pixels = np.stack([to_pixels(synthetic_image(seed=seed), (640, 640)) for seed in (1, 2)])
    boxes, scores = paddle_detector(pre_nms)(pixels)
    assert boxes.shape == (2, 8400, 4)
    assert scores.shape == (2, 10, 8400)
    assert 0 <= scores.min() < 0.001
    assert 0.5 < scores.max() <= 1
    # Stride 32 comes first: its 400 anchors have the large boxes, each centred within its cell.
    sizes = boxes[..., 2:] - boxes[..., :2]
    assert sizes[:, :400].min() > 30
    assert sizes[:, 2000:].max() < 16
    centres = (boxes[..., 2:] + boxes[..., :2]) / 2
    assert np.abs(centres[:, 0] - 16).max() <= 16
    assert np.abs(centres[:, -1] - 636).max() <= 4


def test_means_over_height_and_width_become_global_pooling(tiny_model: Path, tmp_path: Path) -> None:
    model = find_model(tiny_model)
    pre_nms = remove_nms(model, tmp_path)
    before, after = operators(model.program), operators(pre_nms.program)
    assert (before["1.mean"], before["1.pool2d"]) == (6, 0)
    assert (after["1.mean"], after["1.pool2d"]) == (3, 3)  # the other means are over another axis
    pixels = to_pixels(synthetic_image(), (640, 640))
    whole = ReferenceDetector(model).detect_pixels(pixels, np.ones(2, np.float32))
    assert compare_detections("", whole, paddle_detector(pre_nms)(pixels[None]), Limits()).within(Limits())


def operators(program: Path) -> Counter[str]:
    """Operator → how often a Paddle 3 program contains it."""
    blocks = json.loads(program.read_text())["program"]["regions"][0]["blocks"]
    return Counter(operator["#"] for operator in blocks[0]["ops"])


def test_a_pdmodel_gives_the_same(tiny_model: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-m", "tests.export.tiny_model", str(tmp_path / "old"), "--pdmodel"],
        cwd=root,
        env={**os.environ, "FLAGS_enable_pir_api": "0"},
        check=True,
    )
    old, new = find_model(as_paddledetection(tmp_path / "old")), find_model(tiny_model)
    assert old.program.name == "model.pdmodel"
    pixels = to_pixels(synthetic_image(), (640, 640))[None]
    expected = paddle_detector(remove_nms(new, tmp_path / "new_cut"))(pixels)
    difference = compare("", expected, paddle_detector(remove_nms(old, tmp_path / "old_cut"))(pixels))
    assert difference.box == 0
    assert difference.score == 0
    ours, theirs = ReferenceDetector(new)(synthetic_image()), ReferenceDetector(old)(synthetic_image())
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)


def over(detections: Detections, threshold: float) -> int:
    return int((detections.scores > threshold).sum())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_tiny_model_detects_something_at_every_usual_threshold(tiny_model: Path, seed: int) -> None:
    image = synthetic_image(480, 800, seed)
    detections = ReferenceDetector(find_model(tiny_model))(image)
    assert 0 < over(detections, 0.5) < over(detections, 0.3) < over(detections, 0.05) <= 500
    assert len(set(detections.class_ids.tolist())) > 1
    order = np.lexsort((-detections.scores, detections.class_ids))
    np.testing.assert_array_equal(order, np.arange(len(detections)))


def test_boxes_of_the_reference_are_in_pixels_of_the_image(tiny_model: Path) -> None:
    image = synthetic_image(640, 640)
    reference = ReferenceDetector(find_model(tiny_model))
    small = reference(image)
    # As if the image were twice as wide and three times as high, resized to the same 640 x 640 pixels.
    large = reference.detect_pixels(to_pixels(image, (640, 640)), np.array([1 / 3, 1 / 2], np.float32))
    np.testing.assert_allclose(large.boxes, small.boxes * [2, 3, 2, 3], rtol=1e-4)
    np.testing.assert_array_equal(large.scores, small.scores)


def test_an_even_image_gives_no_detection(tiny_model: Path) -> None:
    detections = ReferenceDetector(find_model(tiny_model))(np.full((480, 640, 3), (30, 120, 200), np.uint8))
    assert len(detections) == 0
    assert detections.boxes.shape == (0, 4)


def test_normalisation_becomes_part_of_the_model_without_nms(tmp_path: Path) -> None:
    step = {"is_scale": True, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "norm_type": "mean_std"}
    model = find_model(make_tiny_paddle_model(tmp_path / "model", size=160, normalise=step))
    plain = find_model(make_tiny_paddle_model(tmp_path / "plain", size=160))
    image = synthetic_image(160, 160)
    pixels = to_pixels(image, (160, 160))[None]
    raw = paddle_detector(remove_nms(model, tmp_path / "cut"))(pixels)
    detections = ReferenceDetector(model)(image)
    assert len(detections) > 50
    assert compare_detections("", detections, raw, Limits()).within(Limits())
    # The same weights without the normalisation give other outputs.
    others = paddle_detector(remove_nms(plain, tmp_path / "cut_plain"))(pixels)
    assert not compare_detections("", detections, others, Limits()).within(Limits())

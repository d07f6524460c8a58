from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from export.errors import ExportError
from export.paddle.inference_config import InferenceConfig, Normalise, read_inference_config
from tests.export.tiny_model import inference_yml

Document = dict[str, Any]


def write(path: Path, document: object) -> Path:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.fixture
def document() -> Document:
    return inference_yml("PP-YOLOE_plus_SOD-S", 640, ["pedestrian", "van"])


def test_reads_what_paddlex_writes(tmp_path: Path, document: Document) -> None:
    assert read_inference_config(write(tmp_path / "inference.yml", document)) == InferenceConfig(
        "PP-YOLOE_plus_SOD-S", ("pedestrian", "van"), 640, 640, "cubic", None
    )


def test_target_size_is_height_then_width(tmp_path: Path, document: Document) -> None:
    document["Preprocess"][0]["target_size"] = [320, 640]
    config = read_inference_config(write(tmp_path / "inference.yml", document))
    assert (config.height, config.width) == (320, 640)


def test_a_given_name_replaces_that_of_the_file(tmp_path: Path, document: Document) -> None:
    del document["Global"]
    assert read_inference_config(write(tmp_path / "inference.yml", document), "mine").model_name == "mine"


@pytest.mark.parametrize(("written", "read"), [(0.3, 0.3), (0, 0.0), (0.5, None), (None, None)])
def test_draw_threshold_is_the_models_own_default(tmp_path: Path, document: Document, written: Any, read: Any) -> None:
    document["draw_threshold"] = written
    assert read_inference_config(write(tmp_path / "inference.yml", document)).draw_threshold == read


@pytest.mark.parametrize("written", [1.5, -0.1, "high", True, float("nan")])
def test_an_invalid_draw_threshold_is_refused(tmp_path: Path, document: Document, written: Any) -> None:
    document["draw_threshold"] = written
    with pytest.raises(ExportError, match=r"inference\.yml: draw_threshold is .*, not a number from 0 to 1"):
        read_inference_config(write(tmp_path / "inference.yml", document))


@pytest.mark.parametrize("name", ["shared/data/models/demo", "shared/data/models/PP-YOLOE_plus_SOD-S"])
def test_reads_the_shared_models(shared: Path, name: str) -> None:
    config = read_inference_config(shared.parent / name / "inference.yml")
    assert (config.height, config.width, len(config.labels), config.normalise) == (640, 640, 10, None)
    assert config.labels[-1] == "motorcycle"


def resize(**settings: object) -> Callable[[Document], None]:
    return lambda document: document["Preprocess"][0].update(settings)


def normalise(**settings: object) -> Callable[[Document], None]:
    step = {"type": "NormalizeImage", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], **settings}
    return lambda document: document["Preprocess"].insert(1, step)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (resize(keep_ratio=True), "keep_ratio is True"),
        (lambda d: d["Preprocess"][0].pop("keep_ratio"), "keep_ratio is missing"),
        (resize(interp=1), r"interp is 1 \(linear\)"),
        (resize(interp=9), "interp is 9:"),
        (resize(interp=True), "interp is True:"),
        (resize(interp="BICUBIC"), "interp is 'BICUBIC'"),
        (lambda d: d["Preprocess"][0].pop("interp"), "interp is None"),
        (resize(target_size=[640]), "target_size"),
        (resize(target_size=[640, 0]), "target_size"),
        (resize(target_size="640"), "target_size"),
        (resize(limit_side_len=960), "limit_side_len"),
        (lambda d: d["Preprocess"].insert(1, {"type": "PadStride", "stride": 32}), "step PadStride"),
        (lambda d: d["Preprocess"].insert(0, {"type": "NormalizeImage"}), "in this order, not NormalizeImage, Resize"),
        (lambda d: d["Preprocess"].append({"type": "Permute"}), "Permute occurs twice"),
        (lambda d: d["Preprocess"].pop(), "not Resize$"),
        (lambda d: d.pop("Preprocess"), "Preprocess is missing"),
        (lambda d: d.update(Preprocess=["Resize"]), "Preprocess is missing or not a list of steps"),
        (lambda d: d.pop("label_list"), "label_list is missing"),
        (lambda d: d.update(label_list=[]), "label_list is missing or empty"),
        (lambda d: d.update(label_list=["car", 3]), "label_list contains 3"),
        (lambda d: d.update(label_list=["car", True]), "label_list contains True"),
        (lambda d: d.pop("Global"), "model_name is missing"),
        (lambda d: d.update(Global={"model_name": "../elsewhere"}), "'../elsewhere' is not valid"),
        (lambda d: d.update(Global={"model_name": ".hidden"}), "'.hidden' is not valid"),
        (normalise(std=[0.2, 0.2, 0.0]), "std contains a zero"),
        (normalise(mean=[0.5]), "mean must be three numbers"),
        (normalise(mean=None), "mean must be three numbers"),
        (normalise(std=["a", 1, 1]), "std must be three numbers"),
        (normalise(std=[float("nan"), 1, 1]), "std must be three numbers"),
        (normalise(norm_type="minmax"), "norm_type 'minmax'"),
        (normalise(is_scale="yes"), "is_scale must be true or false"),
        (normalise(is_channel_first=True), "is_channel_first"),
    ],
)
def test_an_unsupported_setting_is_named(
    tmp_path: Path, document: Document, change: Callable[[Document], None], said: str
) -> None:
    change(document)
    path = write(tmp_path / "inference.yml", document)
    with pytest.raises(ExportError, match=said) as caught:
        read_inference_config(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no settings"), (b"- a\n", "no settings"), (b"a: [", "not valid YAML"), (b"\xff\xfe\xfa", "cannot be read")],
)
def test_files_that_are_not_a_configuration(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "inference.yml"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=said):
        read_inference_config(path)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # PaddleDetection: im / 255 - mean, over std.
        ({}, [(128 / 255 - 0.5) / 0.2, (0 / 255 - 0.5) / 0.2, (255 / 255 - 0.5) / 0.2]),
        ({"is_scale": False, "mean": [123, 116, 104], "std": [58, 57, 56]}, [5 / 58, -116 / 57, 151 / 56]),
        ({"norm_type": "none"}, [128 / 255, 0, 1]),
        ({"norm_type": "none", "is_scale": False}, [128, 0, 255]),
    ],
)
def test_normalises_as_paddledetection(
    tmp_path: Path, document: Document, settings: dict[str, Any], expected: list[float]
) -> None:
    normalise(**settings)(document)
    step = read_inference_config(write(tmp_path / "inference.yml", document)).normalise
    assert isinstance(step, Normalise)
    image = np.array([128, 0, 255], np.float32).reshape(1, 3, 1, 1)
    factor, offset = step.factor_and_offset()
    assert step.apply(image).dtype == np.float32
    np.testing.assert_allclose(step.apply(image).ravel(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose((image * factor + offset).ravel(), expected, rtol=1e-5, atol=1e-6)

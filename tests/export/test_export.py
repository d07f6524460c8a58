"""From a Paddle model to the files in the model repository."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from export import paddle_export
from export.cli import main
from export.errors import CheckFailedError, ExportError
from export.onnx.detector_graph import read_metadata
from export.paddle.inference_model import find_model
from export.paddle.parity_check import compare_detections
from export.paddle.predictor import PaddleRunner, ReferenceDetector, to_paddle_image
from export.precision import Limits
from export.triton.profiles import PROFILES
from export.verification.images import load_images, synthetic_image
from export.verification.reference import Detector
from finetune.weights.onnx_weights import read
from finetune.weights.paddle_program import rewrite
from sod.image import to_pixels
from tests.export.conftest import DEMO, ROOT
from tests.export.tiny_model import LABELS, make_tiny_paddle_model

Shape = list[str | int]


def shapes(values: Sequence[onnx.ValueInfoProto]) -> dict[str, tuple[int, Shape]]:
    """Name → element type, dimensions."""
    types = [(value.name, value.type.tensor_type) for value in values]
    return {name: (t.elem_type, [d.dim_param or d.dim_value for d in t.shape.dim]) for name, t in types}


def assert_interface(model: onnx.ModelProto, size: int = 640, anchors: int = 8400, classes: int = 10) -> None:
    assert shapes(model.graph.input) == {"pixels": (TensorProto.UINT8, ["N", size, size, 3])}
    assert shapes(model.graph.output) == {
        "boxes": (TensorProto.FLOAT, ["N", anchors, 4]),
        "scores": (TensorProto.FLOAT, ["N", classes, anchors]),
    }
    assert [(opset.domain, opset.version >= 17) for opset in model.opset_import] == [("", True)]
    operators = {node.op_type for node in model.graph.node}
    assert "LayerNormalization" in operators
    assert "NonMaxSuppression" not in operators
    onnx.checker.check_model(model, full_check=True)


@pytest.fixture(scope="module")
def exported(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version directory of the tiny model, made by the command line."""
    repository = tmp_path_factory.mktemp("repository")
    arguments = ["--model_dir", str(tiny_model), "--output_dir", str(repository)]
    assert main([*arguments, "--cache_dir", str(tmp_path_factory.mktemp("cache"))]) == 0
    return repository / "PP-YOLOE_plus_SOD-tiny_detector" / "1"


def test_the_files_in_the_repository(exported: Path) -> None:
    name = "PP-YOLOE_plus_SOD-tiny"
    repository = exported.parents[1]
    assert {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()} == {
        f"{name}/1/.gitkeep",
        f"{name}/config.pbtxt",
        f"{name}_pixels/1/.gitkeep",
        f"{name}_pixels/config.pbtxt",
        f"{name}_detector/1/inference.json",
        f"{name}_detector/1/inference.pdiparams",
        f"{name}_detector/1/model.onnx",
        f"{name}_detector/1/model_fp16.onnx",
        f"{name}_detector/config.pbtxt",
        *(f"{name}_detector/{profile.path}" for profile in PROFILES),
        "preprocess_640/1/model.py",
        "preprocess_640/config.pbtxt",
        "postprocess/1/model.py",
        "postprocess/config.pbtxt",
    }


def test_interface(exported: Path) -> None:
    assert_interface(onnx.load(exported / "model.onnx"))
    assert_interface(onnx.load(exported / "model_fp16.onnx"))


def test_metadata(exported: Path, tiny_model: Path) -> None:
    entries = read_metadata(onnx.load(exported / "model.onnx"))
    tools = json.loads(entries.pop("tools"))
    assert json.loads(entries.pop("labels")) == LABELS
    assert entries == {
        "model_name": "PP-YOLOE_plus_SOD-tiny",
        "input_height": "640",
        "input_width": "640",
        "interpolation": "cubic",
        "opset": "17",
        "source_sha256": hashlib.sha256((tiny_model / "inference.pdiparams").read_bytes()).hexdigest(),
        "producer_version": onnx.load(exported / "model.onnx").producer_version,
    }
    assert set(tools) == {"paddlepaddle", "paddle2onnx", "onnxslim"}
    half = read_metadata(onnx.load(exported / "model_fp16.onnx"))
    assert half.pop("precision") == "fp16"
    assert half == read_metadata(onnx.load(exported / "model.onnx"))


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_every_batch_size_gives_the_detections_of_paddle(exported: Path, tiny_model: Path, batch: int) -> None:
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"), providers=["CPUExecutionProvider"])
    images = [synthetic_image(640, 640, seed=10 + i) for i in range(batch)]
    boxes, scores = session.run(["boxes", "scores"], {"pixels": np.stack([to_pixels(p, (640, 640)) for p in images])})
    assert boxes.shape == (batch, 8400, 4)
    assert scores.shape == (batch, 10, 8400)
    reference = ReferenceDetector(find_model(tiny_model))
    for i, image in enumerate(images):
        detections = reference(image)
        assert len(detections) > 100
        assert compare_detections("", detections, (boxes[i : i + 1], scores[i : i + 1]), Limits()).within(Limits())


def test_the_paddle_model_without_nms_divides_by_scale_factor(exported: Path) -> None:
    run = PaddleRunner(exported / "inference.json", exported / "inference.pdiparams")
    image = to_paddle_image(to_pixels(synthetic_image(), (640, 640))[None].repeat(2, axis=0))
    boxes, scores = run(image, np.array([[1, 1], [0.5, 0.25]], np.float32))
    assert boxes.shape == (2, 8400, 4)
    np.testing.assert_allclose(boxes[1], boxes[0] * [4, 2, 4, 2], rtol=1e-5)
    np.testing.assert_array_equal(scores[0], scores[1])


def test_without_paddle_and_under_another_name(small_model: Path, tmp_path: Path, image_file: Path) -> None:
    arguments = ["--model_dir", str(small_model), "--output_dir", str(tmp_path / "r"), "--images", str(image_file)]
    assert main([*arguments, "--name", "mine", "--no-paddle", "--precision", "fp32"]) == 0
    detector = tmp_path / "r" / "mine_detector"
    assert [path.name for path in (detector / "1").iterdir()] == ["model.onnx"]
    assert 'backend: "onnxruntime"' in (detector / "configs" / "cpu_regular.pbtxt").read_text()
    model = onnx.load(detector / "1" / "model.onnx")
    assert_interface(model, size=96, anchors=9 + 36 + 144, classes=3)
    assert read_metadata(model)["model_name"] == "mine"


def test_a_normalisation_becomes_part_of_the_model(tmp_path: Path) -> None:
    step = {"is_scale": True, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    model_dir = make_tiny_paddle_model(tmp_path / "model", size=96, classes=3, normalise=step)
    # The complete Paddle model, preprocessed as in PaddleDetection, is part of the check.
    written = paddle_export.export_detector(find_model(model_dir), tmp_path / "r", [synthetic_image()])
    assert_interface(onnx.load(written[0]), size=96, anchors=189, classes=3)


def test_the_same_model_gives_the_same_bytes(small_model: Path, tmp_path: Path) -> None:
    model = find_model(small_model)
    one, two = (
        paddle_export.export_detector(model, tmp_path / name, [synthetic_image()], with_paddle=False)[0]
        for name in "ab"
    )
    assert one.read_bytes() == two.read_bytes()


def test_a_failed_check_leaves_nothing(small_model: Path, tmp_path: Path) -> None:
    # Two libraries never agree to the last bit, so limits of zero always fail.
    with pytest.raises(CheckFailedError, match=r"more than 0\.0 px or 0\.0 of score"):
        paddle_export.export_detector(
            find_model(small_model), tmp_path / "r", [synthetic_image()], limits=Limits(0.0, 0.0)
        )
    assert list(tmp_path.iterdir()) == []


def test_a_corrupted_conversion_fails_the_check(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    onnx_detector = paddle_export.onnx_detector

    def corrupted(path: Path) -> Detector:
        detector = onnx.load(path)
        kernel = next(tensor for tensor in detector.graph.initializer if len(tensor.dims) == 4)
        kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel)[::-1].copy(), kernel.name))
        onnx.save(detector, path)
        return onnx_detector(path)

    monkeypatch.setattr(paddle_export, "onnx_detector", corrupted)
    assert main(["--model_dir", str(small_model), "--output_dir", str(tmp_path / "r")]) == 2
    said = capfd.readouterr()
    assert "FAILED" in said.err
    assert said.err.splitlines()[-1].startswith(
        "export failed: the detector differs from Paddle Inference by more than"
    )
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_failed_conversion_gives_the_reason(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paddle_export, "OPSET", 5)
    assert main(["--model_dir", str(small_model), "--output_dir", str(tmp_path / "r")]) == 2
    said = capfd.readouterr().err.splitlines()
    assert said[-1].startswith("export failed: paddle2onnx cannot convert the model at opset 5: ")
    assert "opset version" in said[-1], "paddle2onnx's message is missing"
    assert list(tmp_path.iterdir()) == []


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "export", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_command_in_a_subprocess(small_model: Path, tmp_path: Path, image_file: Path) -> None:
    arguments = ["--model_dir", str(small_model), "--output_dir", str(tmp_path / "r"), "--images", str(image_file)]
    done = run(*arguments, "--cache_dir", str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "r" / "PP-YOLOE_plus_SOD-tiny_detector" / "1"
    assert done.stdout.split()[:4] == [
        str(directory / name) for name in ("model.onnx", "inference.json", "inference.pdiparams", "model_fp16.onnx")
    ]
    lines = done.stderr.splitlines()
    assert lines[0] == "PP-YOLOE_plus_SOD-tiny: 96 x 96, 3 classes"
    # Logged when the step begins, and listed in the table of steps.
    assert [
        sum(line.startswith(start) for line in lines) for start in ("converting to ONNX", "  converting to ONNX")
    ] == [1, 1]
    assert [line.split()[:4] for line in lines if line.startswith("  ONNX Runtime")] == [
        ["ONNX", "Runtime,", "batch", batch] for batch in "124"
    ]
    assert [line.split()[0] for line in lines if line.startswith("  model")] == ["model.onnx", "model_fp16.onnx"]
    assert lines[-1].split()[:1] == ["total"]
    assert len(lines) == 25, f"lines of Paddle among ours: {done.stderr}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model_dir", "nowhere"], "export failed: nowhere is not a directory"),
        (["--model_dir", "export"], "export failed: export has none of inference.json, inference.pdmodel, model.json"),
    ],
)
def test_a_wrong_directory_is_one_sentence(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(said)


def test_an_unsupported_configuration_is_one_sentence(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("inference.json", "inference.pdiparams"):
        (tmp_path / name).write_bytes((small_model / name).read_bytes())
    text = (small_model / "inference.yml").read_text()
    (tmp_path / "inference.yml").write_text(text.replace("keep_ratio: false", "keep_ratio: true"))
    assert main(["--model_dir", str(tmp_path), "--output_dir", str(tmp_path / "r")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Resize.keep_ratio is True" in said


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read: No such file"), (b"text", "not an image")])
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "image.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExportError, match=said) as caught:
        load_images([path])
    assert "image.jpg" in str(caught.value)


def test_the_synthetic_image_is_always_the_same() -> None:
    one, two, other = synthetic_image(), synthetic_image(), synthetic_image(seed=1)
    assert (one.shape, one.dtype) == ((720, 1280, 3), np.uint8)
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_the_committed_demo_has_the_interface() -> None:
    model = onnx.load(DEMO)
    assert_interface(model)
    entries = read_metadata(model)
    assert json.loads(entries["labels"]) == LABELS
    assert (entries["model_name"], entries["input_height"], entries["input_width"], entries["interpolation"]) == (
        "PP-YOLOE_plus_SOD-demo",
        "640",
        "640",
        "cubic",
    )
    assert DEMO.stat().st_size <= 12_000_000


def test_the_committed_demo_is_what_the_export_makes(shared: Path, tmp_path: Path) -> None:
    image = shared / "data" / "real" / "visdrone_0000315_01601_d_0000509.jpg"
    # The shared Paddle model has the architecture of the committed demo, but weights of an older training.
    rewrite(shared / "data" / "models" / "demo", read(DEMO), tmp_path / "demo")
    model = find_model(tmp_path / "demo")
    # This includes the comparison with Paddle Inference, on a real image.
    written = paddle_export.export_detector(model, tmp_path / "r", load_images([image]), with_paddle=False)
    pixels = to_pixels(load_images([image])[0], (640, 640))[None]
    ours, made = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"pixels": pixels})
        for path in (DEMO, written[0])
    )
    assert 0.05 < ours[1].max() < 1
    np.testing.assert_allclose(ours[0], made[0], atol=0.01)
    np.testing.assert_allclose(ours[1], made[1], atol=1e-4)

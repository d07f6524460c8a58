"""`python -m export` for every target: installed files, failures, skipped artefacts, the report."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import openvino as ov
import pytest

from export import isolated_process, paddle_export
from export.cli import main
from export.errors import CheckFailedError, ChildCrashedError, ExportError
from export.onnx.fp16 import make_fp16
from export.paddle.inference_model import find_model
from export.precision import LIMITS, Limits, Precision, Target, limits_table
from export.request import ExportRequest, ExportResult
from export.triton import model_control
from export.verification.images import MIN_CALIBRATION, find_images, split, synthetic_image
from export.verification.reference import load_reference
from tests.export.conftest import ROOT

NAME = "PP-YOLOE_plus_SOD-tiny"
NEVER = Limits(0.0, 0.0, 1.0, -1.0)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with enough images to calibrate on, in two folders, and a file that is not an image."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "more").mkdir()
    (folder / "labels.txt").write_text("1 2 3")
    for seed in range(20):
        name = f"{seed:02}.jpg" if seed % 2 else f"more/{seed:02}.PNG"
        cv2.imwrite(str(folder / name), synthetic_image(120, 160, seed))
    return folder


@pytest.fixture
def base(small_model: Path, tmp_path: Path) -> list[str]:
    """The small model, into a repository and a cache of the test's own."""
    repository, cache = str(tmp_path / "r"), str(tmp_path / "c")
    return ["--model_dir", str(small_model), "--output_dir", repository, "--cache_dir", cache]


def installed(tmp_path: Path) -> list[str]:
    """Names of the model files, without the configuration that is written beside them."""
    return sorted(path.name for path in (tmp_path / "r").glob("*_detector/1/*"))


def test_all_targets_with_a_report(
    base: list[str], tmp_path: Path, images: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    report = tmp_path / "reports" / "tiny.md"
    assert main([*base, "--target", "all", "--images", str(images), "--report", str(report)]) == 0
    said = capfd.readouterr()
    made = [
        "inference.json",
        "inference.pdiparams",
        "model.onnx",
        "model_fp16.onnx",
        "model_int8.bin",
        "model_int8.xml",
    ]
    assert installed(tmp_path) == made
    said_paths = [Path(line) for line in said.out.split()]
    assert sorted(path.name for path in said_paths if path.parent.name == "1" and path.name in made) == made
    assert [path.name for path in said_paths[-2:]] == ["tiny.md", "tiny.png"]
    assert "skipped: target tensorrt: the Python package tensorrt is not installed" in said.err

    text = report.read_text()
    for expected in (
        "## PP-YOLOE_plus_SOD-tiny",
        "| model.onnx in ONNX Runtime |",
        "| model_fp16.onnx in ONNX Runtime |",
        "| model.onnx in OpenVINO, fp32 |",
        "| model_int8.xml in OpenVINO (all but decoding) |",
        "compiled the detector for SM75",
        "| quantising to INT8 on 12 images |",
        "| total |",
        "- installed: model_int8.xml",
        "![differences and times](tiny.png)",
    ):
        assert expected in text
    for precision in (Precision.FP32, Precision.FP16, Precision.INT8):
        assert f"| {LIMITS[precision].box:g} |" in text
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

    half = tmp_path / "r" / f"{NAME}_detector" / "1" / "model_fp16.onnx"
    reference = load_reference(tmp_path / "c" / NAME / "reference.npz", half)
    assert reference.pixels.shape == (8, 96, 96, 3)
    assert reference.made_by == "Paddle Inference, CPU, FP32, oneDNN off"


def test_the_int8_model_has_the_interface_and_integers(base: list[str], tmp_path: Path, images: Path) -> None:
    assert main([*base, "--target", "openvino", "--precision", "int8", "--images", str(images)]) == 0
    assert installed(tmp_path) == ["model_int8.bin", "model_int8.xml"]
    model = ov.Core().read_model(tmp_path / "r" / f"{NAME}_detector" / "1" / "model_int8.xml")
    assert [(p.any_name, p.element_type) for p in model.inputs] == [("pixels", ov.Type.u8)]
    assert [(p.any_name, p.element_type) for p in model.outputs] == [("boxes", ov.Type.f32), ("scores", ov.Type.f32)]
    assert any(operator.get_type_name() == "FakeQuantize" for operator in model.get_ops())


@pytest.mark.parametrize("count", [0, 3])
def test_int8_needs_images(
    base: list[str], tmp_path: Path, images: Path, count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = [str(path) for path in find_images([images])[:count]]
    arguments = [*base, "--target", "openvino", "--precision", "int8", *(["--images", *paths] if paths else [])]
    assert main(arguments) == 2
    assert f"INT8 is calibrated on images, and {count} are too few: give --images" in capfd.readouterr().err
    assert installed(tmp_path) == []


def test_int8_without_images_is_skipped_unless_it_was_requested(
    base: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*base, "--target", "openvino", "--no-paddle"]) == 0
    assert "skipped: openvino int8: INT8 is calibrated on images" in capfd.readouterr().err
    assert installed(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("able", [True, False])
def test_bf16_is_measured_where_the_cpu_has_it(
    base: list[str],
    tmp_path: Path,
    able: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # On a CPU without BF16 this measures FP32.
    monkeypatch.setattr(paddle_export, "has_bf16", lambda: able)
    assert main([*base, "--target", "openvino", "--precision", "bf16"]) == 0
    said = capfd.readouterr().err
    assert ("model.onnx in OpenVINO, bf16  " in said) is able
    assert ("skipped: openvino bf16: this CPU has neither" in said) is not able
    assert installed(tmp_path) == [], "BF16 has no file of its own"


def export(model_dir: Path, directory: Path, **options: object) -> ExportResult:
    request = ExportRequest(directory / "r", cache_dir=directory / "c", with_paddle=False, **options)  # type: ignore[arg-type]
    return paddle_export.export_model(find_model(model_dir), request, [synthetic_image()])


def test_a_failure_installs_the_others_and_keeps_the_old_file(small_model: Path, tmp_path: Path) -> None:
    version = tmp_path / "r" / f"{NAME}_detector" / "1"
    version.mkdir(parents=True)
    (version / "model_fp16.onnx").write_bytes(b"old")
    result = export(small_model, tmp_path, limits={**LIMITS, Precision.FP16: NEVER})
    assert [path.name for path in result.installed if path.parent == version] == ["model.onnx"]
    assert (version / "model_fp16.onnx").read_bytes() == b"old"
    assert result.failures == []
    assert len(result.left_out) == 1
    assert all(step.seconds > 0 and step.peak_mib > 50 for step in result.steps)
    assert result.left_out[0].startswith("differs too much from Paddle Inference, and was deleted: model_fp16.onnx")
    assert not (tmp_path / "c").exists(), "a detector that failed has no reference"


def test_what_fails_beside_what_was_asked_for_is_a_warning(
    base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(LIMITS, Precision.FP16, NEVER)
    assert main([*base, "--no-paddle"]) == 0
    said = capfd.readouterr().err.splitlines()
    assert said[-1].startswith(f"warning: {NAME}: differs too much from Paddle Inference, and was deleted: model_fp16")
    assert said[-1].endswith("measured on one made-up image only: give --images, images like those of the cameras")
    assert installed(tmp_path) == ["model.onnx"]


def test_what_passed_is_loaded_and_the_rest_is_named(
    base: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = []
    monkeypatch.setitem(LIMITS, Precision.BF16, NEVER)
    monkeypatch.setitem(LIMITS, Precision.FP16, NEVER)
    monkeypatch.setattr(model_control, "load_exported", lambda url, **more: loaded.append((url, more["name"])))
    assert main([*base, "--no-paddle", "--load", "127.0.0.1:9"]) == 0
    assert loaded == [("127.0.0.1:9", NAME)]
    assert "warning: " in capfd.readouterr().err
    assert main([*base, "--precision", "fp16", "--load"]) == 2
    said = capfd.readouterr().err
    assert "nothing is loaded, because nothing was exported" in said
    assert len(loaded) == 1


def test_another_target_of_the_same_weights_finds_no_strangers(
    base: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(base) == 0
    assert main([*base, "--target", "openvino", "--precision", "fp32"]) == 0
    assert "earlier export" not in capfd.readouterr().err
    version = tmp_path / "r" / f"{NAME}_detector" / "1"
    for name in ("model.onnx", "inference.pdiparams"):
        (version / name).write_bytes(b"of other weights")
    assert main([*base, "--target", "openvino", "--precision", "fp32"]) == 0
    assert "model_fp16.onnx is from an earlier export with other weights" in capfd.readouterr().err


def test_a_failure_of_fp32_installs_nothing(small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError):
        export(small_model, tmp_path, limits={**LIMITS, Precision.FP32: NEVER}, targets=[Target.ONNX, Target.OPENVINO])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_exit_code_2(
    base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(LIMITS, Precision.FP16, NEVER)
    assert main([*base, "--precision", "fp16"]) == 2
    said = capfd.readouterr()
    assert "FAILED" in said.err
    assert said.err.splitlines()[-1].startswith(f"export failed: {NAME}: differs too much")
    assert said.out == ""
    assert installed(tmp_path) == []


def test_a_full_disk_is_one_sentence_and_changes_nothing(
    base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    version = tmp_path / "r" / f"{NAME}_detector" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"old")
    copyfile = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        if "fp16" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    assert main([*base, "--precision", "all", "--no-paddle"]) == 2
    said = capfd.readouterr()
    assert said.err.splitlines()[-1] == f"export failed: {version} cannot be written to: No space left on device"
    assert said.out == ""
    assert [path.name for path in version.iterdir()] == ["model.onnx"]
    assert (version / "model.onnx").read_bytes() == b"old"


def test_a_full_disk_under_the_work_folder_is_one_sentence(
    base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(_function: object, *args: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(args[-1]))

    monkeypatch.setattr(isolated_process, "call", full)
    assert main(base) == 2
    assert capfd.readouterr().err.splitlines()[-1].endswith(": No space left on device")
    assert installed(tmp_path) == []


def broken(small_model: Path, directory: Path, how: str) -> Path:
    shutil.copytree(small_model, directory)
    params, program, config = (directory / f"inference.{suffix}" for suffix in ("pdiparams", "json", "yml"))
    if how == "truncated":
        params.write_bytes(params.read_bytes()[:-2000])
    elif how == "first bytes only":
        params.write_bytes(params.read_bytes()[:10])
    elif how == "unknown operator":
        program.write_text(program.read_text().replace("layer_norm", "layer_charm"))
    elif how == "half a program":
        program.write_text(program.read_text()[:2000])
    elif how == "no labels":
        lines = config.read_text().split("label_list:")
        config.write_text(lines[0])
    elif how == "no program":
        program.unlink()
    return directory


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", "cannot load"),
        ("first bytes only", "cannot load"),
        ("unknown operator", "cannot load"),
        ("half a program", "cannot load"),
        ("no labels", "label_list"),
        ("no program", "none of inference.json, inference.pdmodel, model.json"),
    ],
)
def test_bad_input_is_one_sentence(small_model: Path, tmp_path: Path, how: str, said: str) -> None:
    model_dir = broken(small_model, tmp_path / "model", how)
    # In a subprocess: Paddle may abort its process.
    command = [sys.executable, "-m", "export", "--model_dir", str(model_dir), "--output_dir", str(tmp_path / "r")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert last.startswith("export failed: "), done.stderr
    assert said in last
    assert sum("Error" in line or "Traceback" in line for line in done.stderr.splitlines()[:-1]) == 0, done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to export: give --model_dir, --model, or the --name of an installed detector"),
        (["--name", "x"], "target onnx is made from a Paddle model: give --model_dir or --model"),
        (["--name", "x", "--target", "tensorrt-check"], "has neither model_fp16.onnx nor model.onnx"),
        (["--model_dir", "x", "--target", "tensorrt", "--precision", "int8"], "has no precision int8: it has fp16"),
        (["--model_dir", "x", "--precision", "bf16"], "target onnx has no precision bf16: it has fp32, fp16"),
    ],
)
def test_impossible_requests(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*arguments, "--output_dir", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err


def test_missing_images(base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for path, said in ((tmp_path / "absent", "cannot be read"), (tmp_path / "empty", "contains no image")):
        assert main([*base, "--images", str(path)]) == 2
        assert said in capsys.readouterr().err


def test_images_are_split(images: Path) -> None:
    paths = find_images([images])
    assert len(paths) == 20
    compared, calibration = split(paths, 8)
    assert len(compared) == 8
    assert not set(compared) & set(calibration)
    compared, calibration = split(paths[: MIN_CALIBRATION + 1], 8)
    assert calibration == paths[: MIN_CALIBRATION + 1], "if too few remain, all are used to calibrate"


def test_the_command_line_imports_nothing_that_the_triton_image_lacks() -> None:
    absent = ("onnx", "paddle", "onnxruntime", "openvino", "nncf", "matplotlib", "tritonclient")
    code = f"import sys, export.cli; print(sorted(set({absent}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_documented_limits_are_those_of_the_code() -> None:
    assert limits_table() in (ROOT / "docs" / "export.md").read_text()


def test_the_demo_s_configs_name_the_files() -> None:
    detector = ROOT / "model_repository" / "PP-YOLOE_plus_SOD-demo_detector"
    assert 'default_model_filename: "model_int8.xml"' in (detector / "configs" / "cpu_int8.pbtxt").read_text()
    assert 'default_model_filename: "model.plan"' in (detector / "config.pbtxt").read_text()


def test_errors_and_crashes_of_a_subprocess_are_raised() -> None:
    assert isolated_process.call(max, 3, 4) == 4
    with pytest.raises(ExportError, match="nowhere is not a directory"):
        isolated_process.call(find_model, Path("nowhere"))
    with pytest.raises(OSError, match="No such file"):
        isolated_process.call(make_fp16, Path("absent"), Path("out"))
    with pytest.raises(ChildCrashedError, match="crashed with signal 6"):
        isolated_process.call(os.abort)
    with pytest.raises(ChildCrashedError, match="crashed with exit status 1: ZeroDivisionError"):
        isolated_process.call(divmod, 1, 0)

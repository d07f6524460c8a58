"""The bundled model repository, and what is said of models whose files are absent."""

import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from server.devices import PROFILES
from server.errors import ServerError
from server.installation import OWN_BACKENDS
from server.repository import find_ensembles
from sod import interface

BACKENDS = ("python", *OWN_BACKENDS)
ROOT = Path(__file__).parents[2] / "model_repository"
OFFICIAL = ["PP-YOLOE_plus_SOD-L", "PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-largesize-L"]
DEMO = "PP-YOLOE_plus_SOD-demo"
LABELS = [
    *("pedestrian", "people", "bicycle", "car", "van"),
    *("truck", "tricycle", "awning-tricycle", "bus", "motorcycle"),
]
CONFIGS = sorted(ROOT.glob("*/config.pbtxt")) + sorted(ROOT.glob("*/configs/*.pbtxt"))


def read(path: Path) -> ModelConfig:
    return text_format.Parse(path.read_text(), ModelConfig())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The configs without any weights."""
    return shutil.copytree(
        ROOT, tmp_path / "models", ignore=shutil.ignore_patterns("*.onnx", "inference.*", "*.plan", "model_int8.*")
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_names_its_folder(path):
    folder = path.parent.parent if path.parent.name == "configs" else path.parent
    assert read(path).name == folder.name


@pytest.mark.parametrize("name", [*OFFICIAL, DEMO])
def test_ensembles_have_the_documented_interface(name):
    config = read(ROOT / name / "config.pbtxt")
    assert config.platform == "ensemble"
    assert [(tensor.name, tensor.optional) for tensor in config.input] == [
        *((interface.IMAGE, False), (interface.SCORE_THRESHOLD, False)),
        *((interface.IOU_THRESHOLD, True), (interface.CLASS_AGNOSTIC, True)),
    ]
    assert {tensor.name for tensor in config.output} == {
        *(interface.BOXES, interface.SCORES, interface.CLASS_IDS, interface.NUM_DETECTIONS, interface.ERROR)
    }
    assert json.loads(config.parameters["labels"].string_value) == LABELS


@pytest.mark.parametrize("name", [*OFFICIAL, DEMO])
def test_profiles_differ_in_the_engine_only(name):
    folder = ROOT / f"{name}_detector"
    plan = read(folder / "config.pbtxt")
    assert plan.backend == "tensorrt"
    size = 1920 if "largesize" in name else 640
    anchors = sum((size // stride) ** 2 for stride in (8, 16, 32))
    assert list(plan.input[0].dims) == [size, size, 3]
    assert [list(tensor.dims) for tensor in plan.output] == [[anchors, 4], [10, anchors]]
    for profile in set(PROFILES) - {"gpu_high_performance"}:  # that is config.pbtxt itself
        config = read(folder / "configs" / f"{profile}.pbtxt")
        assert config.input == plan.input
        assert config.output == plan.output
        assert config.max_batch_size == plan.max_batch_size


@pytest.mark.parametrize("name", [*OFFICIAL, DEMO])
def test_only_cpu_bf16_and_cpu_int8_ask_for_bf16(name):
    for path in (ROOT / f"{name}_detector" / "configs").glob("*.pbtxt"):
        assert ("HINT_BF16" in read(path).parameters) == (path.stem in {"cpu_bf16", "cpu_int8"})


def test_an_absent_int8_model_is_named_with_the_options_that_make_it(repository):
    for ensemble in find_ensembles(repository, "cpu_int8", BACKENDS):
        assert f"{ensemble.name}_detector/1/model_int8.xml is absent: make export" in ensemble.missing
        assert ensemble.missing.endswith("TARGET=openvino PRECISION=int8 IMAGES=<folder of images>")


def test_models_hold_imports_only():
    files = list(ROOT.glob("*/1/model.py"))
    assert len(files) == 3
    for path in files:
        assert len(path.read_text().splitlines()) <= 6


def test_absent_weights_are_named_with_the_way_to_get_them(repository):
    ensembles = find_ensembles(repository, "cpu_high_performance", BACKENDS)
    assert [ensemble.name for ensemble in ensembles] == sorted([*OFFICIAL, DEMO])
    for ensemble in ensembles:
        assert f"{ensemble.name}_detector/1/model.onnx is absent: make export" in ensemble.missing


@pytest.mark.parametrize(
    ("profile", "filename"),
    [
        ("cpu_regular", "inference.json"),
        ("cpu_high_performance", "model.onnx"),
        ("cpu_bf16", "model.onnx"),
        ("cpu_int8", "model_int8.xml"),
    ],
)
def test_a_model_is_served_once_its_file_is_there(repository, profile, filename):
    (repository / "PP-YOLOE_plus_SOD-S_detector" / "1" / filename).touch()
    served = [e.name for e in find_ensembles(repository, profile, BACKENDS) if not e.missing]
    assert served == ["PP-YOLOE_plus_SOD-S"]


def test_a_backend_that_is_absent_is_named():
    ensembles = find_ensembles(ROOT, "gpu_high_performance", BACKENDS)
    assert all("tensorrt" in ensemble.missing for ensemble in ensembles)


def test_a_stage_that_is_absent_is_named(repository):
    shutil.rmtree(repository / "postprocess")
    (repository / f"{DEMO}_detector" / "1" / "model.onnx").touch()
    demo = next(e for e in find_ensembles(repository, "cpu_regular", BACKENDS) if e.name == DEMO)
    assert demo.missing == "its stage postprocess is not in the repository"


def test_no_repository_is_an_error(tmp_path):
    with pytest.raises(ServerError, match="no model repository at"):
        find_ensembles(tmp_path / "absent", PROFILES[0], BACKENDS)
    with pytest.raises(ServerError, match="holds no ensemble"):
        find_ensembles(tmp_path, PROFILES[0], BACKENDS)


def test_a_broken_stage_is_named_by_the_ensembles_that_need_it(repository):
    (repository / "preprocess_1920" / "config.pbtxt").write_text("name: preprocess_1920 {")
    found = {ensemble.name: ensemble.missing for ensemble in find_ensembles(repository, PROFILES[0], BACKENDS)}
    broken = "preprocess_1920/config.pbtxt is not a Triton model configuration"
    assert [name for name, missing in found.items() if broken in missing] == ["PP-YOLOE_plus_SOD-largesize-L"]
    assert "preprocess_1920" not in found


def test_a_broken_ensemble_does_not_hide_the_others(repository):
    (repository / DEMO / "config.pbtxt").write_bytes(b"\xff\xfe")
    found = {ensemble.name: ensemble for ensemble in find_ensembles(repository, PROFILES[0], BACKENDS)}
    assert "config.pbtxt is not a Triton model configuration" in found[DEMO].missing
    assert list(found) == sorted([*OFFICIAL, DEMO])


def test_a_repository_of_broken_configs_only_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.pbtxt").write_text("name: mine {")
    with pytest.raises(ServerError, match=r"holds no ensemble: [^\n]*\n  .*mine/config\.pbtxt is not a Triton model"):
        find_ensembles(tmp_path, PROFILES[0], BACKENDS)

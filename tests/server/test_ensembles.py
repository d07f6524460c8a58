"""Loading the ensembles, and the SHA-256 of the weights that Triton tells with them."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from server.installation import OWN_BACKENDS
from server.repository import find_ensembles
from server.triton.api import ModelState, TritonApiError
from server.triton.ensembles import EnsembleLoader
from sod.interface import WEIGHTS_SHA256

ROOT = Path(__file__).parents[2] / "model_repository"
DEMO = "PP-YOLOE_plus_SOD-demo"
STAGES = ("preprocess_640", f"{DEMO}_detector", "postprocess")


class Api:
    """Records what is loaded: names, and the configurations that were given."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, dict[str, Any] | None]] = []
        self.ready = [ModelState(stage, True, "") for stage in STAGES]
        self.refuses_configurations = False

    def models(self) -> list[ModelState]:
        return self.ready

    def load(self, model: str, config: str | None = None) -> None:
        if config is not None and self.refuses_configurations:
            raise TritonApiError("no")
        self.loaded.append((model, None if config is None else json.loads(config)))

    def told(self) -> str | None:
        config = dict(self.loaded)[DEMO]
        assert config is not None
        return json.loads(config["parameters"][WEIGHTS_SHA256]["string_value"])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in (*STAGES, DEMO, f"{DEMO}_pixels"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def loader(api: Api, repository: Path, profile: str = "cpu_high_performance") -> EnsembleLoader:
    ensembles = find_ensembles(repository, profile, ("python", "tensorrt", *OWN_BACKENDS))
    return EnsembleLoader(api, repository, profile, ensembles)  # type: ignore[arg-type]


def digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_an_ensemble_is_loaded_once_with_its_hash_and_all_of_its_configuration(repository):
    api = Api()
    one = loader(api, repository)
    one.load()
    one.load()
    assert [name for name, _ in api.loaded] == [DEMO, f"{DEMO}_pixels"]
    assert api.told() == digest(ROOT / f"{DEMO}_detector/1/model.onnx")
    config = api.loaded[0][1]
    assert config is not None
    assert json.loads(config["parameters"]["input_size"]["string_value"]) == [640, 640]
    assert [step["model_name"] for step in config["ensemble_scheduling"]["step"]] == list(STAGES)


@pytest.mark.parametrize(
    ("profile", "files"),
    [
        ("cpu_int8", ("model_int8.xml", "model_int8.bin")),
        ("cpu_regular", ("inference.json", "inference.pdiparams")),
        ("gpu_high_performance", ("model.plan",)),
    ],
)
def test_the_hash_is_that_of_the_files_of_the_profile(repository, profile, files):
    folder = repository / f"{DEMO}_detector" / "1"
    if profile == "cpu_regular":  # the demo has no Paddle model
        config = (ROOT / "PP-YOLOE_plus_SOD-S_detector/configs/cpu_regular.pbtxt").read_text()
        (folder.parent / "configs/cpu_regular.pbtxt").write_text(config.replace("PP-YOLOE_plus_SOD-S", DEMO))
    for name in files:
        (folder / name).write_text(name)
    api = Api()
    loader(api, repository, profile).load()
    assert api.told() == hashlib.sha256("".join(files).encode()).hexdigest()


def test_the_latest_version_is_served(repository):
    folder = repository / f"{DEMO}_detector"
    (folder / "10").mkdir()
    (folder / "10" / "model.onnx").write_text("new")
    api = Api()
    loader(api, repository).load()
    assert api.told() == digest(folder / "10/model.onnx")


def test_the_hash_of_weights_that_changed_while_triton_read_them_is_not_known(repository):
    api = Api()
    one = loader(api, repository)
    (repository / f"{DEMO}_detector/1/model.onnx").write_bytes(b"other")
    one.load()
    assert api.loaded == [(DEMO, None), (f"{DEMO}_pixels", None)]
    loader(api, repository).load()
    assert api.told() == hashlib.sha256(b"other").hexdigest()


def test_a_triton_that_refuses_the_configuration_serves_the_model_without_a_hash(repository):
    api = Api()
    api.refuses_configurations = True
    loader(api, repository).load()
    assert api.loaded == [(DEMO, None), (f"{DEMO}_pixels", None)]


def test_a_stage_that_failed_is_not_loaded_again_with_its_ensemble(repository):
    api = Api()
    del api.ready[1]
    loader(api, repository).load()
    assert api.loaded == []


def test_nothing_is_written_to_the_stages_once_triton_reads_them(repository):
    loader(Api(), repository)
    for stage in ("preprocess_640", "postprocess"):
        assert list((repository / stage / "1" / "__pycache__").glob("model.*.pyc"))


def test_another_start_writes_nothing_to_the_stages(repository):
    """A server that is loading the same folder would load its stages twice."""
    loader(Api(), repository)
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    loader(Api(), repository)
    assert {path: path.stat().st_mtime_ns for path in repository.rglob("*")} == before

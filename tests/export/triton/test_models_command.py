"""`sod models load|unload|remove`: a Triton that records the requests, and a repository with two models."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from export.hub.official_models import OFFICIAL_ARCHIVES
from export.triton.installed_models import find_installed
from export.triton.model_spec import ModelSpec
from export.triton.models_command import main
from export.triton.repository import pending_files
from sod.nms import NmsConfig


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self) -> None:
        self.ready = ["other", "mine"]
        self.calls: list[tuple[str, str]] = []

    def RepositoryModelLoad(self, request: Any, _: Any) -> Any:  # noqa: N802
        self.calls.append(("load", request.model_name))
        if request.model_name not in self.ready:
            self.ready.append(request.model_name)
        return service_pb2.RepositoryModelLoadResponse()

    def RepositoryModelUnload(self, request: Any, _: Any) -> Any:  # noqa: N802
        self.calls.append(("unload", request.model_name))
        self.ready.remove(request.model_name)
        return service_pb2.RepositoryModelUnloadResponse()

    def ModelConfig(self, request: Any, _: Any) -> Any:  # noqa: N802
        response = service_pb2.ModelConfigResponse()
        response.config.name = request.name
        return response

    def RepositoryIndex(self, _: Any, __: Any) -> Any:  # noqa: N802
        response = service_pb2.RepositoryIndexResponse()
        for name in self.ready:
            response.models.add(name=name, version="1", state="READY")
        response.models.add(name="broken", version="1", state="UNAVAILABLE")
        return response


@pytest.fixture
def triton() -> Iterator[tuple[Triton, str]]:
    fake = Triton()
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield fake, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two models of the same input size; `mine` has an NMS of its own."""
    pending_files(ModelSpec("other", ("a",), 96, 96, 189), tmp_path).write()
    pending_files(ModelSpec("mine", ("a",), 96, 96, 189, nms=NmsConfig(keep_top_k=9)), tmp_path).write()
    return tmp_path


def run(action: str, name: str, repository: Path, url: str) -> int:
    return main([action, name, "--model-repository", str(repository), "--triton", url])


def test_the_folders_of_a_model(repository: Path) -> None:
    model = find_installed(repository, "mine")
    assert "mine" in model.ensembles
    assert set(model.stages) == {"mine_detector", "postprocess_mine"}
    assert model.shared == ("preprocess_96",)


def test_load(repository: Path, triton: tuple[Triton, str], capsys: pytest.CaptureFixture[str]) -> None:
    fake, url = triton
    fake.ready = ["other"]
    assert run("load", "mine", repository, url) == 0
    assert fake.calls[0] == ("load", "mine")
    assert {name for _, name in fake.calls} >= {"mine", "preprocess_96", "mine_detector", "postprocess_mine"}
    assert capsys.readouterr().out == f"Triton at {url} serves mine\n"


def test_unload_leaves_what_other_models_use(
    repository: Path, triton: tuple[Triton, str], capsys: pytest.CaptureFixture[str]
) -> None:
    fake, url = triton
    fake.ready = ["other", "other_detector", "postprocess", "preprocess_96", "mine", "mine_detector"]
    assert run("unload", "mine", repository, url) == 0
    assert fake.calls == [("unload", "mine"), ("unload", "mine_detector")]
    assert "no longer serves mine" in capsys.readouterr().out
    assert run("unload", "mine", repository, url) == 1
    assert "does not serve mine: it serves other, " in capsys.readouterr().err


def test_remove(repository: Path, triton: tuple[Triton, str], capsys: pytest.CaptureFixture[str]) -> None:
    fake, url = triton
    assert run("remove", "mine", repository, url) == 1
    assert f"Triton at {url} serves mine: first `sod models unload mine`" in capsys.readouterr().err
    assert (repository / "mine").is_dir()
    fake.ready = ["other"]
    assert run("remove", "mine", repository, url) == 0
    assert f"removed {repository / 'mine_detector'}\n" in capsys.readouterr().out
    left = {path.name for path in repository.iterdir()}
    assert not any("mine" in name for name in left)
    assert left >= {"other", "other_detector", "postprocess", "preprocess_96"}


def test_remove_without_a_server(repository: Path) -> None:
    assert run("remove", "mine", repository, "127.0.0.1:9") == 0
    assert not (repository / "mine").exists()


@pytest.mark.parametrize("action", ["load", "unload", "remove"])
@pytest.mark.parametrize("name", ["gone", "mine_detector", "postprocess", "../mine"])
def test_what_is_no_model_is_refused(
    repository: Path, triton: tuple[Triton, str], action: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(action, name, repository, triton[1]) == 1
    assert f"has no model {name}: the models there are mine, other" in capsys.readouterr().err
    assert triton[0].calls == []


@pytest.mark.parametrize("name", [*OFFICIAL_ARCHIVES, "PP-YOLOE_plus_SOD-demo"])
def test_a_shipped_model_is_not_removed(
    repository: Path, triton: tuple[Triton, str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pending_files(ModelSpec(name, ("a",), 96, 96, 189), repository).write()
    assert run("remove", name, repository, triton[1]) == 1
    assert "belongs to triton-sod" in capsys.readouterr().err
    assert (repository / name).is_dir()


@pytest.mark.parametrize("url", ["127.0.0.1:9", "nonsense"])
def test_without_a_server_it_is_one_sentence(repository: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("load", "unload"):
        assert run(action, "mine", repository, url) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"sod models {action}: ")
        assert error.count("\n") == 1

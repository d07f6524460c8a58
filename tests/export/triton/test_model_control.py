"""Loading a model into Triton: the requests, and every kind of failure, from a gRPC server."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from export.cli import main
from export.errors import ExportError
from export.triton.model_control import load_exported, load_model, on_each, triton_urls
from export.triton.model_spec import ModelSpec
from export.triton.repository import pending_files

STAGES = ["preprocess_96", "mine_detector", "postprocess"]


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Records the loaded models, or fails."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.states = dict.fromkeys([*STAGES, "mine", "mine_pixels"], ("READY", ""))
        self.fails: tuple[grpc.StatusCode, str] | None = None
        self.broken = ""
        self.told: list[str | None] = ["00"]  # what the configuration of the ensemble said of its weights, one by one

    def ModelConfig(self, request: Any, _: Any) -> Any:  # noqa: N802
        response = service_pb2.ModelConfigResponse()
        response.config.name = request.name
        if request.name == "mine" and self.told[-1] is not None:
            response.config.parameters["sha256"].string_value = json.dumps(self.told[-1])
        response.config.backend = "openvino" if request.name == "mine_detector" else "python"
        response.config.default_model_filename = "model.onnx" if request.name == "mine_detector" else ""
        return response

    def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        if "config" in request.parameters:
            assert request.model_name == "mine"
            parameters = json.loads(request.parameters["config"].string_param).get("parameters", {})
            self.told.append(json.loads(parameters.get("sha256", {"string_value": "null"})["string_value"]))
            return service_pb2.RepositoryModelLoadResponse()
        self.loaded.append(request.model_name)
        if self.fails is not None:
            context.abort(*self.fails)
        if request.model_name == self.broken:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not an ONNX file")
        return service_pb2.RepositoryModelLoadResponse()

    def RepositoryIndex(self, _: Any, __: Any) -> Any:  # noqa: N802
        response = service_pb2.RepositoryIndexResponse()
        for name, (state, reason) in self.states.items():
            response.models.add(name=name, version="1", state=state, reason=reason)
        return response


@pytest.fixture
def triton() -> Iterator[tuple[FakeTriton, str]]:
    fake = FakeTriton()
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield fake, f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_the_ensemble_is_loaded_and_then_each_part(triton: tuple[FakeTriton, str], tmp_path: Path) -> None:
    fake, url = triton
    pending_files(ModelSpec("mine", ("a",), 96, 96, 189), tmp_path).write()
    load_exported(url, tmp_path, "mine")
    assert fake.loaded == ["mine", *STAGES, "mine_pixels"]


def test_a_model_of_an_earlier_export_has_no_entrance_for_pixels(
    triton: tuple[FakeTriton, str], tmp_path: Path
) -> None:
    fake, url = triton
    pending_files(ModelSpec("mine", ("a",), 96, 96, 189), tmp_path).write()
    shutil.rmtree(tmp_path / "mine_pixels")
    load_exported(url, tmp_path, "mine")
    assert fake.loaded == ["mine", *STAGES]


def test_triton_is_told_the_hash_of_the_weights_that_it_has_loaded(
    triton: tuple[FakeTriton, str], tmp_path: Path
) -> None:
    fake, url = triton
    pending_files(ModelSpec("mine", ("a",), 96, 96, 189), tmp_path).write()
    weights = tmp_path / "mine_detector" / "1" / "model.onnx"
    weights.parent.mkdir()
    weights.write_bytes(b"new")
    load_exported(url, tmp_path, "mine")
    assert fake.told == ["00", None, hashlib.sha256(b"new").hexdigest()], "the old hash first goes"


def test_no_hash_is_told_of_weights_that_are_elsewhere_or_did_not_load(
    triton: tuple[FakeTriton, str], tmp_path: Path
) -> None:
    fake, url = triton
    pending_files(ModelSpec("mine", ("a",), 96, 96, 189), tmp_path).write()
    load_exported(url, tmp_path, "mine")
    assert fake.told == ["00", None]
    (tmp_path / "mine_detector" / "1").mkdir()
    (tmp_path / "mine_detector" / "1" / "model.onnx").write_bytes(b"new")
    fake.broken = "mine_detector"
    with pytest.raises(ExportError, match="did not load mine_detector"):
        load_exported(url, tmp_path, "mine")
    assert fake.told == ["00", None]


def test_a_stage_that_triton_silently_kept_is_an_error(triton: tuple[FakeTriton, str]) -> None:
    fake, url = triton
    fake.broken = "mine_detector"
    with pytest.raises(ExportError, match="did not load mine_detector: not an ONNX file"):
        load_model(url, "mine", STAGES)


@pytest.mark.parametrize(
    ("status", "details", "said"),
    [
        (
            grpc.StatusCode.INTERNAL,
            "failed to load 'mine', failed to poll from model repository",
            "did not load mine: failed to load 'mine', failed to poll from model repository (check that it serves",
        ),
        (grpc.StatusCode.INTERNAL, "line one\n  line two", "did not load mine: line one line two"),
        (grpc.StatusCode.UNAVAILABLE, "explicit model load is not allowed", "explicit model load is not allowed"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "did not load mine: it did not respond in time"),
        (grpc.StatusCode.UNKNOWN, "", "it gives no reason"),
        (grpc.StatusCode.INTERNAL, "x" * 9000, "x…"),
    ],
)
def test_failures_of_triton_are_one_sentence(
    triton: tuple[FakeTriton, str], status: grpc.StatusCode, details: str, said: str
) -> None:
    fake, url = triton
    fake.fails = (status, details)
    with pytest.raises(ExportError) as caught:
        load_model(url, "mine", STAGES)
    message = str(caught.value)
    assert said in message
    assert url in message
    assert "\n" not in message
    assert "StatusCode" not in message
    assert len(message) < 700


@pytest.mark.parametrize(
    ("name", "state", "said"),
    [
        ("mine", ("UNAVAILABLE", "it broke\nbadly"), "mine is UNAVAILABLE: it broke badly"),
        ("mine_detector", ("", ""), "mine_detector is not loaded"),
        ("postprocess", None, "postprocess is missing"),
    ],
)
def test_a_model_that_is_not_ready_afterwards_is_named(
    triton: tuple[FakeTriton, str], name: str, state: tuple[str, str] | None, said: str
) -> None:
    fake, url = triton
    del fake.states[name]
    if state is not None:
        fake.states[name] = state
    with pytest.raises(ExportError, match=said):
        load_model(url, "mine", STAGES)


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:8001", "127.0.0.1:", "a b:1", "127.0.0.1:8001/x"])
def test_an_invalid_address(url: str) -> None:
    with pytest.raises(ExportError, match="is not the address of a Triton: give host:port"):
        triton_urls(url)


def test_no_server(free_ports: Any) -> None:
    (port,) = free_ports(1)
    with pytest.raises(ExportError, match="check that the server is running") as caught:
        load_model(f"127.0.0.1:{port}", "mine", STAGES)
    assert f"127.0.0.1:{port}" in str(caught.value)


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOD_TRITON_URL", raising=False)
    assert triton_urls(None) == ["127.0.0.1:8001"]
    monkeypatch.setenv("SOD_TRITON_URL", "")
    assert triton_urls("") == ["127.0.0.1:8001"]
    monkeypatch.setenv("SOD_TRITON_URL", "triton:9001,dns:///localhost:9002")
    urls = triton_urls("")
    assert urls[0] == "triton:9001"
    assert {"127.0.0.1:9002", "[::1]:9002"} & set(urls[1:])
    assert triton_urls("a:1,b:2,a:1") == ["a:1", "b:2"], "what is given goes before the environment"
    with pytest.raises(ExportError, match=r"no Triton is known by the name absent\.invalid"):
        triton_urls("dns:///absent.invalid:1")


def test_every_triton_is_acted_on(triton: tuple[FakeTriton, str], free_ports: Any) -> None:
    fake, url = triton
    (port,) = free_ports(1)
    with pytest.raises(ExportError, match=f"no Triton responds at 127.0.0.1:{port}"):
        on_each([f"127.0.0.1:{port}", url], lambda one: load_model(one, "mine", STAGES))
    assert fake.loaded[0] == "mine"


def test_the_command_loads_the_model(
    triton: tuple[FakeTriton, str],
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake, url = triton
    arguments = ["--model_dir", str(small_model), "--output_dir", str(tmp_path), "--name", "mine", "--no-paddle"]
    monkeypatch.setenv("SOD_TRITON_URL", url)
    assert main([*arguments, "--load"]) == 0
    assert fake.loaded[0] == "mine"
    assert capsys.readouterr().err.splitlines()[-1] == f"Triton at {url} serves mine"
    fake.states["mine"] = ("UNAVAILABLE", "it broke")
    assert main([*arguments, "--load", url]) == 3
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == (
        f"mine is exported, but not loaded: Triton at {url} loaded mine, but mine is UNAVAILABLE: it broke"
    )
    assert "mine_detector/1/model.onnx" in said.out
    assert fake.loaded == ["mine", *STAGES, "mine_pixels"] * 2

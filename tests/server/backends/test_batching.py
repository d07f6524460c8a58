"""A batch's requests share one call of the network, and neither their errors nor their ends."""

import importlib
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@dataclass
class Tensor:
    name: str
    array: Any

    def as_numpy(self) -> Any:
        return self.array


@dataclass
class TritonError:
    message: str
    code: int
    INTERNAL = 1
    CANCELLED = 2


@dataclass
class Response:
    tensors: list[Tensor] = field(default_factory=list)
    error: TritonError | None = None


@dataclass
class Request:
    value: float
    cancelled: bool = False

    def is_cancelled(self) -> bool:
        return self.cancelled


@pytest.fixture
def run_batch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`run_batch` with what Triton's stub would give it."""
    stub = ModuleType("triton_python_backend_utils")
    stub.Tensor, stub.TritonError, stub.InferenceResponse = Tensor, TritonError, Response  # type: ignore[attr-defined]
    stub.Logger = ModuleType("Logger")  # type: ignore[attr-defined]
    stub.Logger.log_error = lambda _: None  # type: ignore[attr-defined]
    stub.get_input_tensor_by_name = lambda request, name: Tensor(  # type: ignore[attr-defined]
        name, np.full((1, 2), request.value)
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stub)
    for name in ("sod.triton.requests", "server.backends.batching"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("server.backends.batching")
    yield module.run_batch
    for name in ("sod.triton.requests", "server.backends.batching"):
        sys.modules.pop(name, None)


class Network:
    def __init__(self) -> None:
        self.batches: list[list[float]] = []

    def __call__(self, batch: Any) -> dict[str, Any]:
        self.batches.append(batch[:, 0].tolist())
        if 13 in batch:
            raise ValueError("unlucky")
        return {"out": batch + 1}


def told(responses: list[Response]) -> list[Any]:
    return [r.error.code if r.error else r.tensors[0].array[0, 0] for r in responses]


def test_one_call_for_all(run_batch: Any) -> None:
    network = Network()
    assert told(run_batch([Request(1), Request(2)], "in", network)) == [2, 3]
    assert network.batches == [[1, 2]]


def test_a_failure_stays_with_its_request(run_batch: Any) -> None:
    network = Network()
    assert told(run_batch([Request(1), Request(13), Request(2)], "in", network)) == [2, TritonError.INTERNAL, 3]


@pytest.mark.parametrize("cancelled", [(True, False, False), (False, True, False), (True, True, False), (True,) * 3])
def test_what_is_cancelled_is_not_worked_on(run_batch: Any, cancelled: tuple[bool, ...]) -> None:
    network = Network()
    requests = [Request(i + 10, gone) for i, gone in enumerate(cancelled)]
    expected = [TritonError.CANCELLED if gone else i + 11 for i, gone in enumerate(cancelled)]
    assert told(run_batch(requests, "in", network)) == expected
    wanted = [i + 10 for i, gone in enumerate(cancelled) if not gone]
    assert network.batches == ([wanted] if wanted else [])

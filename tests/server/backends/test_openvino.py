"""Which network computes an image, and that all of them must say the same of one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import numpy as np
import pytest

IMAGE = np.zeros((1, 4, 4, 3), np.uint8)
PATIENCE_S = 60


@pytest.fixture
def backend(load_backend: Callable[[str], Any]) -> Any:
    return load_backend("openvino")


class Network:
    """Says which it is, and computes when it may."""

    def __init__(self, name: str, size: int = 1) -> None:
        self.name = name
        self.size = size
        self.computing = Event()
        self.may_end = Event()
        self.may_end.set()
        self.fails = False

    def infer(self, _: Any) -> list[Any]:
        self.computing.set()
        assert self.may_end.wait(PATIENCE_S)
        if self.fails:
            raise RuntimeError("no")
        return [np.array([self.name])]


def told(answers: list[list[Any]]) -> list[str]:
    return [str(answer[0][0]) for answer in answers]


@pytest.fixture
def streams() -> Network:
    return Network("streams", size=2)


@pytest.fixture
def alone() -> Network:
    return Network("alone")


def test_an_image_alone_has_the_whole_machine_and_others_a_stream(backend: Any, streams: Any, alone: Any) -> None:
    scheduler = backend.Scheduler(streams, alone)
    assert told(scheduler.infer(IMAGE)) == ["alone"]
    alone.computing.clear()
    alone.may_end.clear()
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(scheduler.infer, IMAGE)
        assert alone.computing.wait(PATIENCE_S)
        assert told(callers.submit(scheduler.infer, IMAGE).result(PATIENCE_S)) == ["streams"]
        # That one has ended, so there is again one image only; but the whole machine is taken.
        alone.may_end.set()
        assert told(first.result(PATIENCE_S)) == ["alone"]
    assert told(scheduler.infer(IMAGE)) == ["alone"]
    scheduler.close()


def test_of_several_images_none_takes_the_whole_machine(backend: Any, streams: Any, alone: Any) -> None:
    scheduler = backend.Scheduler(streams, alone)
    streams.may_end.clear()
    with ThreadPoolExecutor(1) as caller:
        answers = caller.submit(scheduler.infer, np.repeat(IMAGE, 2, axis=0))
        assert streams.computing.wait(PATIENCE_S)
        assert not alone.computing.is_set()
        streams.may_end.set()
        assert told(answers.result(PATIENCE_S))[0] == "streams"
    scheduler.close()


def test_without_the_second_network_all_goes_over_streams(backend: Any, streams: Any) -> None:
    scheduler = backend.Scheduler(streams, None)
    assert told(scheduler.infer(IMAGE)) == ["streams"]
    scheduler.close()


def test_a_failure_gives_the_whole_machine_back(backend: Any, streams: Any, alone: Any) -> None:
    scheduler = backend.Scheduler(streams, alone)
    alone.fails = True
    with pytest.raises(RuntimeError, match="no"):
        scheduler.infer(IMAGE)
    alone.fails = False
    assert told(scheduler.infer(IMAGE)) == ["alone"]
    scheduler.close()


class Answers:
    """A network whose streams answer these, one each; the first also what is asked before."""

    def __init__(self, *answers: float, asked_first: bool = False) -> None:
        self.size = len(answers)
        self._answers = list(answers)
        self._all = Barrier(len(answers))
        self._first = asked_first

    def infer(self, _: Any) -> list[Any]:
        if self._first:
            self._first = False
            return [np.array([self._answers[0]]), np.zeros(3)]
        self._all.wait(PATIENCE_S)
        return [np.array([self._answers.pop()]), np.zeros(3)]


@pytest.mark.parametrize(
    ("streams", "alone", "expected"),
    [
        (Answers(1.0, asked_first=True), None, True),
        (Answers(1.0, 1.0, asked_first=True), None, True),
        (Answers(1.0, 1.5, asked_first=True), None, False),
        (Answers(1.0, 1.0), Answers(1.0), True),
        (Answers(1.0, 1.0), Answers(1.5), False),
        (Answers(1.0, 1.5), Answers(1.0), False),
    ],
)
def test_networks_agree(backend: Any, streams: Any, alone: Any, expected: bool) -> None:
    assert backend.agree(streams, alone, [4, 4, 3]) is expected


class Config:
    """A config.pbtxt with these parameters."""

    name = "mine"

    def __init__(self, **parameters: str) -> None:
        self._parameters = parameters

    def parameter(self, key: str, default: str) -> str:
        return self._parameters.get(key, default)


def test_properties(backend: Any) -> None:
    config = Config(PERFORMANCE_HINT="throughput", NUM_STREAMS="3", INFERENCE_NUM_THREADS="4")
    chosen = backend._properties(config, ["FP32", "BF16"])
    assert {str(key): str(value) for key, value in chosen.items()} == {
        "INFERENCE_PRECISION_HINT": "<Type: 'float32'>",
        "PERFORMANCE_HINT": "PerformanceMode.THROUGHPUT",
        "INFERENCE_NUM_THREADS": "4",
        "NUM_STREAMS": "3",
    }
    one = backend._for_one_image(chosen)
    assert "NUM_STREAMS" not in {str(key) for key in one}
    assert str(one["PERFORMANCE_HINT"]) == "PerformanceMode.LATENCY"
    assert one["INFERENCE_NUM_THREADS"] == 4
    with pytest.raises(ValueError, match="NUM_STREAMS"):
        backend._properties(Config(NUM_STREAMS="many"), ["FP32"])


@pytest.mark.parametrize(
    ("parameters", "capabilities", "expected"),
    [
        ({"HINT_BF16": "YES"}, ["FP32", "BF16", "INT8"], "bfloat16"),
        ({"HINT_BF16": "YES"}, ["FP32", "INT8"], "float32"),
        ({}, ["FP32", "BF16", "INT8"], "float32"),
    ],
)
def test_bf16_is_not_emulated(backend: Any, parameters: dict[str, str], capabilities: list[str], expected: str) -> None:
    chosen = backend._properties(Config(**parameters), capabilities)
    assert str(chosen[backend.properties.hint.inference_precision()]) == f"<Type: '{expected}'>"

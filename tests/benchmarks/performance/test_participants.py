"""Participants with wrong results are not measured."""

from types import SimpleNamespace
from typing import ClassVar

import cv2
import numpy as np
import pytest

from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.participants import Participants, SampleImage, check, read_images
from sod.detections import Detections

FOUND = Detections(
    np.array([[10, 10, 30, 30], [50, 50, 80, 80]], np.float32),
    np.array([0.9, 0.8], np.float32),
    np.array([0, 1], np.int32),
)
ONE = Detections(FOUND.boxes[:1], FOUND.scores[:1], FOUND.class_ids[:1])
NONE = Detections.empty()


def raw(objects: Detections):
    """The raw output of a detector of 100 pixels that finds these."""
    scores = np.zeros((1, 2, 4), np.float32)
    boxes = np.zeros((1, 4, 4), np.float32)
    for anchor, (box, score, class_id) in enumerate(zip(objects.boxes, objects.scores, objects.class_ids, strict=True)):
        boxes[0, anchor], scores[0, class_id, anchor] = box, score
    return [boxes, scores]


class FakeProcesses:
    """Processes of which one at most may run; they run while their results are asked for."""

    running: ClassVar[set[str]] = set()

    def __init__(self, name: str) -> None:
        self.name = name

    def resume(self) -> None:
        self.running.add(self.name)

    def pause(self) -> None:
        self.running.discard(self.name)

    def give(self, result):
        assert self.running == {self.name}
        return result


class FakeParticipants(Participants):
    """Participants with given results."""

    results: dict

    def _client(self, name, processes):
        return SimpleNamespace(name=name, detect=lambda: processes.give(self.results[name]))

    def ensemble(self, profile):
        return self._client("ensemble", self.servers[profile])

    def gateway(self, profile, visualize):
        return self._client("gateway, overlay" if visualize else "gateway", self.servers[profile])

    def paddlex(self, _visualize):
        return self._client("PaddleX", self.paddlex_server)


@pytest.fixture
def participants():
    data = cv2.imencode(".png", np.zeros((100, 100, 3), np.uint8))[1].tobytes()
    fake = FakeParticipants("S", 2, (SampleImage("a.png", data, 100, 100),), 0.5)
    names = ("ensemble", "gateway", "gateway, overlay", "engine", "PaddleX")
    fake.results = dict.fromkeys(names, FOUND)
    fake.detectors["cpu"] = SimpleNamespace(precision="FP32", size=(100, 100))
    fake.servers["cpu"], fake.paddlex_server = FakeProcesses("server"), FakeProcesses("PaddleX")
    engine = FakeProcesses("engine")
    fake.engines["cpu"] = SimpleNamespace(processes=engine, infer=lambda: engine.give(raw(fake.results["engine"])))
    return fake


def test_participants_that_agree_pass_and_are_paused(participants):
    check(participants)
    assert FakeProcesses.running == set()


@pytest.mark.parametrize(
    ("client", "message"),
    [
        ("gateway", "cpu: gateway and the ensemble have only 66.7% of their objects in common; 99% are required"),
        ("gateway, overlay", "cpu: gateway, overlay and the ensemble have only 66.7%"),
        ("engine", "cpu: the engine alone and the ensemble have only 66.7%"),
        ("PaddleX", "PaddleX and our FP32 have only 66.7% of their objects in common; 90% are required"),
    ],
)
def test_a_participant_with_other_objects_is_named(participants, client, message):
    participants.results[client] = ONE
    with pytest.raises(BenchmarkError, match=message):
        check(participants)


def test_an_image_without_objects_is_refused(participants):
    participants.results = dict.fromkeys(participants.results, NONE)
    with pytest.raises(BenchmarkError, match=r"cpu finds nothing in a\.png over 0\.5: choose another image"):
        check(participants)


def test_images_are_read_with_their_sizes(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    (image,) = read_images([path])
    assert image.as_dict() == {"name": "a.png", "width": 30, "height": 20, "bytes": path.stat().st_size}
    path.write_bytes(b"no image")
    with pytest.raises(BenchmarkError, match=r"a\.png"):
        read_images([path])

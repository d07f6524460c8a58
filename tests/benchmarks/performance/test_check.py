"""Nothing is measured whose answers are wrong."""

from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks.performance import participants as bench
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


class FakeParticipants(Participants):
    """Ways that answer what they are told."""

    answers: dict

    def ensemble(self, _profile):
        return SimpleNamespace(name="ensemble", detect=lambda: self.answers["ensemble"])

    def gateway(self, _profile, visualize):
        name = "gateway, overlay" if visualize else "gateway"
        return SimpleNamespace(name=name, detect=lambda: self.answers[name])

    def paddlex(self, _visualize):
        return SimpleNamespace(name="PaddleX", detect=lambda: self.answers["PaddleX"])


@pytest.fixture
def participants(monkeypatch):
    monkeypatch.setattr(bench, "on", lambda _: nullcontext())
    data = cv2.imencode(".png", np.zeros((100, 100, 3), np.uint8))[1].tobytes()
    made = FakeParticipants("S", 2, (SampleImage("a.png", data, 100, 100),), 0.5)
    made.answers = {
        "ensemble": FOUND,
        "gateway": FOUND,
        "gateway, overlay": FOUND,
        "engine_only": FOUND,
        "PaddleX": FOUND,
    }
    made.detectors["cpu"] = SimpleNamespace(precision="FP32", size=(100, 100))
    made.servers["cpu"] = made.paddlex_server = SimpleNamespace()
    made.engines_only["cpu"] = SimpleNamespace(host=None, infer=lambda: raw(made.answers["engine_only"]))
    return made


def test_all_the_same_passes(participants):
    check(participants)


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("gateway", "cpu: gateway against the ensemble: 66.7%"),
        ("gateway, overlay", "cpu: gateway, overlay against the ensemble"),
        ("engine_only", "cpu: the engine alone: 66.7%"),
        ("PaddleX", "PaddleX against our FP32: 66.7% of the objects are the same, and 90% at least must be"),
    ],
)
def test_who_differs_is_named(participants, client, said):
    participants.answers[client] = ONE
    with pytest.raises(BenchmarkError, match=said):
        check(participants)


def test_an_image_with_nothing_in_it_checks_nothing(participants):
    participants.answers = dict.fromkeys(participants.answers, NONE)
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

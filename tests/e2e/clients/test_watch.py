"""`sod watch` against the real server: a video of a scene, tracked, counted and written."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from sod_client import create_pipeline
from sod_client.cli import main

from finetune.scenes.render import render
from tests.clients.streams.conftest import write_video
from tests.e2e.conftest import DEMO
from tests.e2e.started_server import Serving

SIZE = (640, 384)
SHIFT = 3  # pixels that the camera's picture moves in each frame


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A window that moves to the right over a drawn street, so that all objects move to the left."""
    scene = render(3).pixels
    scale = max((SIZE[0] + 40 * SHIFT) / scene.shape[1], SIZE[1] / scene.shape[0])
    wide = cv2.resize(scene, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    pictures = [np.ascontiguousarray(wide[: SIZE[1], SHIFT * k : SHIFT * k + SIZE[0]]) for k in range(30)]
    return write_video(tmp_path_factory.mktemp("watch") / "street.mp4", pictures)


def test_track_count_and_write(video: Path, server: Serving, tmp_path: Path) -> None:
    out, text = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    arguments = ["--url", server.url, "--model", DEMO, "--line", "mid=320,0,320,384", "--format", "none"]
    assert main(["watch", str(video), *arguments, "--save_path", str(out), "--save_path", str(text)]) == 0
    lines = [json.loads(line) for line in text.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(30))
    frames: dict[int, int] = {}
    for line in lines:
        for found in line["objects"]:
            if found["track_id"] is not None:
                frames[found["track_id"]] = frames.get(found["track_id"], 0) + 1
    assert max(frames.values()) >= 25  # an object keeps its id through nearly all of the film
    crossed = lines[-1]["counts"]["lines"]["mid"]
    assert sum(crossed["out"].values()) == 0  # everything moves to the left: over a downward line that is `in`
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_the_boxes_are_those_of_predict(video: Path, server: Serving) -> None:
    with create_pipeline(url=server.url, model=DEMO) as pipeline:
        watched = next(pipeline.watch(video))
        (predicted,) = pipeline.predict(watched.frame.item.encoded(), visualize=False)
        assert watched.boxes
        assert watched.boxes == predicted.boxes
        sliced = next(pipeline.watch(video, slice_infer=True))
        assert len(sliced.boxes) > 0

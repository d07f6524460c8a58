"""`skip_still`: only slices that changed are sent, and what that costs on a made film."""

import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sod_client import InvalidConfigError, create_pipeline
from sod_client._inputs.items import Item
from sod_client._shared.merging import MergeOptions
from sod_client._streams import still
from sod_client._streams.sources.frame import Frame, VideoFrame
from sod_client._streams.tracking.byte_track import overlap
from sod_client._transport.sliced import SliceRequest
from sod_client._transport.transport import RequestOptions
from sod_client.result import Result

from benchmarks.watch.street import HEIGHT, WIDTH, film
from tests.clients.conftest import FakeServer
from tests.clients.streams.conftest import RATE, Run, find_squares, picture, write_video

SLICED: dict[str, Any] = {"slice_infer": True, "slice_size": 64, "overlap_ratio": 0.0}


def test_only_what_changed_is_sent(tmp_path: Path, detector: FakeServer) -> None:
    """The square crosses the upper left slice for 13 frames, stands in the next ones, and leaves the others alone."""
    frames = [picture(min(frame, 12)) for frame in range(30)]
    path = write_video(tmp_path / "v.mp4", frames)
    with create_pipeline(url=detector.url, model="m") as pipeline:
        results = list(pipeline.watch(path, **SLICED, skip_still=True))
        few = len(detector.requests)
        everything = list(pipeline.watch(path, **SLICED))
    sent, total = results[-1].slices or (0, 0)
    assert total == 30 * 7  # 3 x 2 slices and the whole frame
    assert sent == few - 1 < 60  # one request asks for the models
    assert len(everything) == len(results) == 30
    for frame, result in enumerate(results):
        best = min(result.boxes, key=lambda box: abs(box["coordinate"][0] - 4 - 4 * min(frame, 12)))
        assert best["coordinate"][0] == pytest.approx(4 + 4 * min(frame, 12), abs=2.5), frame


def test_a_failed_slice_is_sent_again(tmp_path: Path, detector: FakeServer) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for frame in range(3):
        Image.fromarray(picture(2)).save(folder / f"{frame}.png")
    failures = iter([True])

    def reply(body: Any) -> Any:
        if body is not None and next(failures, False):
            return 422, b'{"logId": "1", "errorCode": 422, "errorMsg": "no"}'
        return find_squares(body)

    detector.reply = reply
    notes: list[str] = []
    with create_pipeline(url=detector.url, model="m", max_in_flight=1) as pipeline:
        results = list(pipeline.watch(folder, **SLICED, skip_still=True, once=True, on_note=notes.append))
    assert [len(result.boxes) for result in results][-1] >= 1
    assert "was left out" in notes[0]


def test_an_old_answer_is_renewed(tmp_path: Path, detector: FakeServer) -> None:
    path = write_video(tmp_path / "v.mp4", [picture(3)] * 4, times=[0, 5, 9.9, 10.1])
    with create_pipeline(url=detector.url, model="m") as pipeline:
        results = list(pipeline.watch(path, **SLICED, skip_still=True))
    assert results[-1].slices == (14, 28)


def test_it_needs_slices(video: Path, watch: Run, detector: FakeServer) -> None:
    with (
        create_pipeline(url=detector.url) as pipeline,
        pytest.raises(InvalidConfigError, match="only with slice_infer"),
    ):
        pipeline.watch(video, skip_still=True)
    code, _, err = watch(video, "--skip_still")
    assert code == 2
    assert "skip_still has an effect only with slice_infer" in err
    assert not [path for path, _ in detector.requests if "object-detection" in path]


def test_a_server_that_does_not_list_its_models(video: Path, detector: FakeServer) -> None:
    """PaddleX's own server has no list."""
    detector.reply = lambda _: (404, b'{"detail": "Not Found"}')
    with (
        create_pipeline(url=detector.url) as pipeline,
        pytest.raises(InvalidConfigError, match="size of its model's input"),
    ):
        next(pipeline.watch(video, **SLICED, skip_still=True))


def test_the_command_says_how_many_were_sent(video: Path, watch: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sod_client._cli.console.print_status", lambda text: print(text, file=sys.stderr))
    code, _, err = watch(video, "--slice_infer", "--slice_size", "64", "64", "--skip_still", "--model", "m")
    assert code == 0
    assert "slices sent" in err


def street(path: Path, brighter: Sequence[int], seconds: float) -> Path:
    """A street with a quarter of its traffic, noise of 3 levels, and objects that are so many levels brighter.

    They are red too, so that the stand-in for a detector finds them all, however little brighter they are.
    """
    random = np.random.default_rng(0)
    coarse = random.uniform(70, 130, (HEIGHT // 20, WIDTH // 20))
    ground = ndimage.zoom(coarse, 20, order=1)
    frames = []
    for ids, boxes, _ in film(seconds, seed=1).truth:
        brightness = ground + random.normal(0, 3, ground.shape)
        red = np.zeros_like(ground)
        for number, (x1, y1, x2, y2) in zip(ids.tolist(), boxes.round().astype(int).clip(0).tolist(), strict=True):
            if number % 4 == 0:
                brightness[y1:y2, x1:x2] += brighter[number // 4 % len(brighter)]
                red[y1:y2, x1:x2] = 1
        # Red by 70 levels at the same brightness: 0.299 R + 0.587 G + 0.114 B.
        pixels = np.stack([brightness + 49 * red, brightness - 21 * red, brightness - 21 * red], axis=-1)
        frames.append(pixels.clip(0, 255).astype(np.uint8))
    return write_video(path, frames, options={"crf": "23", "g": "50"})


def _find_red(item: Item, *_: object) -> "Future[Result]":
    pixels = np.asarray(item.decoded(), int)
    labelled, _count = ndimage.label(pixels[..., 0] - pixels[..., 1] > 35)
    boxes = [
        {"cls_id": 3, "label": "car", "score": 0.9, "coordinate": [x.start, y.start, x.stop, y.stop]}
        for y, x in ndimage.find_objects(labelled)
        if (x.stop - x.start) * (y.stop - y.start) >= 12
    ]
    found: Future[Result] = Future()
    found.set_result(Result(None, boxes))  # type: ignore[arg-type]
    return found


def _watch(path: Path) -> tuple[list[NDArray[np.float64]], float]:
    """The boxes of each frame, and the share of slices that were sent."""
    request = SliceRequest((160, 160), (160, 160), (0.25, 0.25), only_if_larger=False, merging=MergeOptions())
    session: Any = SimpleNamespace(submit=_find_red)
    slices, found = still.StillSlices(session, request, RequestOptions()), []
    with av.open(str(path)) as container:
        for number, decoded in enumerate(container.decode(video=0)):
            frame = Frame(VideoFrame("v", number, 0, decoded_frame=decoded), number, number / RATE, 0.0)
            boxes = slices.submit(frame).result().boxes
            found.append(np.array([box["coordinate"] for box in boxes], float).reshape(-1, 4))
    return found, slices.sent / slices.total


def recall(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float, int]:
    """Of the boxes that all slices of every frame show, the share that `skip_still` shows with an IoU of 0.5.

    Returns:
        the share, that of the slices that were sent, and the number of boxes.
    """
    skipped, share = _watch(path)
    monkeypatch.setattr(still, "CHANGE", -1)
    everything, all_sent = _watch(path)
    monkeypatch.undo()
    assert all_sent == 1
    kept = total = 0
    for truth, found in zip(everything, skipped, strict=True):
        kept += int((overlap(truth, found).max(axis=1, initial=0.0) >= 0.5).sum())
        total += len(truth)
    return kept / total, share, total


def test_recall_on_a_made_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of docs/streams.md, on a shorter film."""
    kept, share, total = recall(street(tmp_path / "v.mp4", (10, 20, 40, 60), 2), monkeypatch)
    assert total > 200
    assert kept >= 0.98
    assert share < 0.6

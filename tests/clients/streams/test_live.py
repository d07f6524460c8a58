"""Live streams: the newest frame wins, a broken or stalled one goes on, passwords; over RTSP and HTTP."""

import asyncio
import math
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from sod_client import (
    AsyncPipeline,
    FrameResult,
    InvalidInputError,
    MissingFileError,
    Pipeline,
    UnreadableFileError,
)
from sod_client._streams.pace import Pace
from sod_client._streams.sources.frame import Frame
from sod_client._streams.sources.handover import Handover

from server.launching import free_ports
from tests.clients.conftest import FakeServer
from tests.clients.streams.conftest import SIZE, looped, picture, write_video
from tests.clients.streams.rtsp_server import RtspServer


@pytest.fixture
def camera() -> Iterator[RtspServer]:
    server = RtspServer(looped, 50.0)
    yield server
    server.close()


def take(results: Iterator[FrameResult], count: int) -> list[FrameResult]:
    return [next(results) for _ in range(count)]


def test_a_slow_server_gets_the_newest_frames(camera: RtspServer, detector: FakeServer, pipeline: Pipeline) -> None:
    """The camera is about five times as fast as the server, whose answer takes a tenth of a second."""
    answer, one = detector.reply, threading.Lock()

    def reply(body: Any) -> Any:
        began = time.monotonic()
        with one:  # one at a time
            time.sleep(0.1)
        waits.append(time.monotonic() - began)
        return answer(body)

    waits: list[float] = []
    detector.reply = reply
    results = pipeline.watch(camera.url)
    found = take(results, 20)
    results.close()
    frames = [result["frame"] for result in found]
    assert frames == sorted(set(frames))
    assert found[-1].dropped > 40
    assert frames[-1] - frames[5] == pytest.approx(14 * 5, abs=25)  # 50 frames in a second, of which 10 are answered
    assert max(result.lag for result in found[3:]) < 1.5 * max(waits) + 0.1
    # A second request that waits at the server would double it.
    assert statistics.median(result.lag for result in found[3:]) < 1.5 * 0.1 + 0.03


def test_a_frame_is_sent_shortly_before_the_server_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace, (first, second, third) = Pace(), [Future[None](), Future[None](), Future[None]()]
    assert pace.wait_s() == 0.0
    pace.sent(first)
    assert pace.wait_s() == math.inf  # nothing is known of the server
    now = 0.1
    first.set_result(None)
    assert pace.wait_s() == 0.0
    pace.sent(second)
    assert pace.wait_s() == pytest.approx(0.09)
    now = 0.19
    assert pace.wait_s() == pytest.approx(0.0)
    pace.sent(third)
    now = 0.2
    second.set_result(None)
    assert pace.wait_s() == pytest.approx(0.09)  # the server began with the third one now
    third.cancel()
    assert pace.wait_s() == 0.0


def test_a_camera_that_is_restarted_goes_on(pipeline: Pipeline) -> None:
    notes: list[str] = []
    camera = RtspServer(looped, 50.0)
    results = pipeline.watch(camera.url, on_note=notes.append, track=True)
    before = take(results, 10)
    camera.close()
    again: list[tuple[float, RtspServer]] = []

    def restart() -> None:
        again.append((time.monotonic(), RtspServer(looped, 50.0, port=camera.port)))

    threading.Timer(1.5, restart).start()
    try:
        after = next(result for result in results if result.frame.gap)
        assert time.monotonic() - again[0][0] < 5
        assert after.events[0]["event"] == "gap"
        assert 1.0 < after.events[0]["seconds"] < 8
        assert after.time > before[-1].time
        assert ["connecting again" in notes[0], "connected again" in notes[1]] == [True, True]
    finally:
        results.close()
        again[0][1].close()


def test_a_stalled_camera_is_noticed(camera: RtspServer, pipeline: Pipeline) -> None:
    notes: list[str] = []
    results = pipeline.watch(camera.url, stall_timeout=0.7, on_note=notes.append)
    take(results, 5)
    camera.stalled.set()
    began = time.monotonic()

    def resume() -> None:
        while not notes and time.monotonic() < began + 10:
            time.sleep(0.02)
        camera.stalled.clear()

    threading.Thread(target=resume, daemon=True).start()
    after = next(result for result in results if result.frame.gap)
    results.close()
    assert "no data for 0.7 s" in notes[0]
    assert 0.5 < after.frame.gap < 5


def test_once_ends_with_the_stream(pipeline: Pipeline) -> None:
    camera = RtspServer(looped, 50.0)
    results = pipeline.watch(camera.url, once=True)
    take(results, 3)
    camera.close()
    assert len(list(results)) < 60


def test_a_stream_over_udp(pipeline: Pipeline) -> None:
    url, stopped = f"udp://127.0.0.1:{free_ports(1)[0]}", threading.Event()

    def play() -> None:
        with av.open(f"{url}?pkt_size=1316", "w", format="mpegts") as output:
            options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
            stream = output.add_stream("libx264", rate=50, options=options)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            frame = 0
            while not stopped.wait(0.02):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(looped(frame), format="rgb24")))
                frame += 1

    sender = threading.Thread(target=play, daemon=True)
    sender.start()
    try:
        results = pipeline.watch(url)
        found = take(results, 5)
        results.close()
    finally:
        stopped.set()
        sender.join(10)
    assert [result["frame"] for result in found] == sorted({result["frame"] for result in found})
    assert any(result.boxes for result in found)


def test_srt_needs_another_ffmpeg(pipeline: Pipeline) -> None:
    with pytest.raises(
        UnreadableFileError, match="this PyAV has no srt: one that is built on an FFmpeg with it is needed"
    ):
        next(pipeline.watch("srt://127.0.0.1:9"))


async def test_watch_of_the_async_pipeline(video: Path, detector: FakeServer, pipeline: Pipeline) -> None:
    async with AsyncPipeline(url=detector.url) as made:
        found = [result async for result in made.watch(video, track=True)]
        assert found == list(pipeline.watch(video, track=True))
        with pytest.raises(InvalidInputError, match="a source is a path"):
            made.watch([])
        with pytest.raises(MissingFileError):
            await anext(made.watch("no.mp4"))


async def test_a_cancelled_watch_ends_its_camera(camera: RtspServer, detector: FakeServer) -> None:
    async def watch(first: asyncio.Event) -> None:
        async for _ in made.watch(camera.url, stall_timeout=30):
            camera.stalled.set()
            first.set()

    before = set(threading.enumerate())
    async with AsyncPipeline(url=detector.url) as made:
        first = asyncio.Event()
        task = asyncio.create_task(watch(first))
        await asyncio.wait_for(first.wait(), 20)
        (reader,) = [one for one in threading.enumerate() if one.name == "watch-0" and one not in before]
        await asyncio.sleep(0.3)  # it waits for a frame, and the event loop is free
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 0.5
    camera.stalled.clear()
    await asyncio.to_thread(reader.join, 10)
    assert not reader.is_alive()


def test_passwords(pipeline: Pipeline) -> None:
    camera = RtspServer(looped, 50.0, credentials="me:secret")
    try:
        with pytest.raises(UnreadableFileError, match="refused the user name or password") as failed:
            next(pipeline.watch(camera.url.replace("//", "//me:wrong@")))
        assert "wrong" not in str(failed.value)
        results = pipeline.watch(camera.url.replace("//", "//me:secret@"))
        assert next(results).input_path == camera.url.replace("//", "//me:***@")
        results.close()
    finally:
        camera.close()


def test_an_error_of_the_server_is_noted_and_left_out(
    camera: RtspServer, detector: FakeServer, pipeline: Pipeline
) -> None:
    answer, notes = detector.reply, []
    detector.reply = lambda body: (500, b"") if 3 <= len(detector.requests) <= 5 else answer(body)
    results = pipeline.watch(camera.url, on_note=notes.append)
    assert len(take(results, 8)) == 8
    results.close()
    assert any("was left out: the server answered 500" in note for note in notes)


def test_a_file_over_http_is_whole(tmp_path: Any, detector: FakeServer, pipeline: Pipeline) -> None:
    path = write_video(tmp_path / "v.mp4", [picture(frame) for frame in range(20)], options={})
    detector.files["/v.mp4"] = path.read_bytes()
    assert [result["frame"] for result in pipeline.watch(f"{detector.url}/v.mp4")] == list(range(20))


def test_handover() -> None:
    frames = [Frame(None, k, k / 25, 0.0) for k in range(6)]  # type: ignore[arg-type]
    newest = Handover(newest_wins=True, wake=lambda: None)
    assert all(newest.put(frame) for frame in frames)
    assert (newest.take(), newest.take(), newest.dropped) == (frames[5], None, 5)
    whole = Handover(newest_wins=False, wake=lambda: None)
    writer = threading.Thread(target=lambda: [whole.put(frame) for frame in frames] and whole.finish(), daemon=True)
    writer.start()
    taken = []
    while not whole.is_ended:
        frame = whole.take()
        taken += [frame] if frame else []
    assert taken == frames
    whole.close()
    assert not whole.put(frames[0])
    newest.put(replace(frames[0], gap=2.0))
    newest.put(frames[1])
    assert newest.take() == replace(frames[1], gap=2.0)

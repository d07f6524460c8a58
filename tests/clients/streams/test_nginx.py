"""RTMP, and HLS over HTTP, from a real server: nginx."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sod_client import Pipeline, UnreadableFileError
from sod_client._streams.sources import container

from tests.clients.streams.conftest import looped
from tests.clients.streams.nginx import MISSING, SEGMENT_S, Camera, Nginx
from tests.required import require


def darker(frame: int) -> Any:
    """Of another day: a server that plays old segments is told from one that plays these."""
    return np.where(looped(frame) < 100, 20, 250).astype(np.uint8)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    require(not MISSING, str(MISSING))
    server = Nginx(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def camera(nginx: Nginx) -> Iterator[Camera]:
    made = Camera(nginx.rtmp, looped)
    yield made
    made.close()


@pytest.mark.usefixtures("camera")
def test_an_rtmp_server_that_is_restarted_goes_on(nginx: Nginx, pipeline: Pipeline) -> None:
    notes: list[str] = []
    results = pipeline.watch(nginx.rtmp, on_note=notes.append, track=True)
    before = [next(results) for _ in range(10)]
    assert any(result.boxes for result in before)
    nginx.kill()
    again: list[tuple[float, Camera]] = []

    def restart() -> None:
        nginx.start()
        again.append((time.monotonic(), Camera(nginx.rtmp, looped)))

    threading.Timer(1.0, restart).start()
    try:
        after = next(result for result in results if result.frame.gap)
        assert time.monotonic() - again[0][0] < 5
        assert after.events[0]["event"] == "gap"
        assert 1.0 < after.events[0]["seconds"] < 8
        assert after.time > before[-1].time
        assert ["connecting again" in notes[0], "connected again" in notes[1]] == [True, True]
        assert any(next(results).boxes for _ in range(10))
    finally:
        results.close()
        again[0][1].close()


@pytest.mark.usefixtures("camera")
def test_a_stalled_rtmp_server_is_noticed(nginx: Nginx, pipeline: Pipeline) -> None:
    noted: list[tuple[float, str]] = []

    def note(text: str) -> None:
        noted.append((time.monotonic(), text))
        nginx.process.send_signal(signal.SIGCONT)

    results = pipeline.watch(nginx.rtmp, stall_timeout=1.0, on_note=note)
    for _ in range(5):
        next(results)
    began = time.monotonic()
    nginx.process.send_signal(signal.SIGSTOP)
    after = next(result for result in results if result.frame.gap)
    results.close()
    when, text = noted[0]
    assert "no data for 1 s" in text
    assert 0.9 < when - began < 2.5
    assert 0.9 < after.frame.gap < 8


@pytest.mark.parametrize("change", [("live", "dead"), ("street", "nothing")], ids=["application", "name"])
def test_an_rtmp_stream_that_is_not_there(
    nginx: Nginx, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str]
) -> None:
    monkeypatch.setattr(container, "OPEN_TIMEOUT_S", 1.0)
    with pytest.raises(UnreadableFileError, match="the host plays no such stream"):
        next(pipeline.watch(nginx.rtmp.replace(*change)))


@pytest.mark.usefixtures("camera")
def test_hls_is_played_at_its_speed(nginx: Nginx, pipeline: Pipeline) -> None:
    """A segment's 50 frames come at once; each is seen in its turn, and not the last alone."""
    nginx.wait_for_segments(2)
    results = pipeline.watch(nginx.hls)
    found, began = [next(results)], time.monotonic()
    while (seconds := time.monotonic() - began) < 5 * SEGMENT_S:
        found.append(next(results))
    results.close()
    times = [result.time for result in found]
    assert times[-1] - times[0] == pytest.approx(seconds, abs=0.5)
    assert max(np.diff(times)) < SEGMENT_S / 2
    assert not any(result.frame.gap for result in found)
    assert sum(bool(result.boxes) for result in found) > 0.9 * len(found)


def test_hls_that_breaks_off_repeats_nothing(
    nginx: Nginx, camera: Camera, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server plays its last segments to whoever connects: whoever connects again has seen them."""
    monkeypatch.setattr(container, "_PLAYLIST_STALL_S", 3 * SEGMENT_S)
    nginx.wait_for_segments(2)
    notes: list[str] = []
    results = pipeline.watch(nginx.hls, stall_timeout=1, on_note=notes.append)
    shown = [next(results) for _ in range(10)]
    nginx.kill()
    camera.close()
    again: list[Camera] = []

    def restart() -> None:
        nginx.start()  # with the old segments
        while not any("connected again" in note for note in notes):
            time.sleep(0.05)
        time.sleep(1.0)
        again.append(Camera(nginx.rtmp, darker))

    restarted = threading.Thread(target=restart)
    restarted.start()
    try:
        for result in results:
            if np.asarray(result.frame.item.grey()).min() < 40:
                break
            shown.append(result)
    finally:
        results.close()
        restarted.join()
        again[0].close()
    stamps = [result.frame.item.decoded_frame.pts for result in shown]
    assert stamps == sorted(set(stamps))
    assert any(one.frame.gap for one in [*shown, result])

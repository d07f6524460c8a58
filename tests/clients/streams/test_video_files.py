"""Video files: every frame, in order, upright, with its time."""

import json
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from sod_client import InvalidConfigError, MissingFileError, UnreadableFileError, create_pipeline

from tests.clients.conftest import FakeServer
from tests.clients.streams.conftest import RATE, SQUARE, Run, picture, square_at, write_video


def test_every_frame_in_order(video: Path, detector: FakeServer) -> None:
    with create_pipeline(url=detector.url) as pipeline:
        results = list(pipeline.watch(video))
    assert [result["frame"] for result in results] == list(range(36))
    assert [result.time for result in results] == pytest.approx([frame / RATE for frame in range(36)], abs=1e-3)
    assert all(result.dropped == 0 for result in results)
    assert results[10].boxes[0]["coordinate"] == pytest.approx([44, 40, 44 + SQUARE, 40 + SQUARE], abs=1.5)
    assert len(detector.requests) == 36
    assert detector.most_at_once <= 4
    assert results[3].img["res"].size == (160, 96)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"every": 5}, [0, 5, 10, 15, 20, 25, 30, 35]),
        ({"max_fps": 5}, [0, 5, 10, 15, 20, 25, 30, 35]),
        ({"start": 0.8}, list(range(20, 36))),
        ({"start": 0.4, "duration": 0.2}, [10, 11, 12, 13, 14]),
        ({"start": 60}, []),
    ],
)
def test_a_part_of_the_frames(video: Path, detector: FakeServer, options: dict[str, float], wanted: list[int]) -> None:
    with create_pipeline(url=detector.url) as pipeline:
        results = list(pipeline.watch(video, **options))
    assert [result["frame"] for result in results] == wanted
    for result in results:
        assert result.boxes[0]["coordinate"][0] == pytest.approx(square_at(result["frame"])[0], abs=1.5)


def test_variable_frame_rate(tmp_path: Path, detector: FakeServer) -> None:
    times = [0.0, 0.04, 0.5, 0.54, 2.0]
    path = write_video(tmp_path / "phone.mp4", [picture(frame) for frame in range(5)], times=times)
    with create_pipeline(url=detector.url) as pipeline:
        assert [result.time for result in pipeline.watch(path)] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize(("pixel_format", "codec"), [("yuv420p10le", "libx264"), ("gray", "libx264"), ("bgr0", "ffv1")])
def test_pixel_formats(tmp_path: Path, detector: FakeServer, pixel_format: str, codec: str) -> None:
    path = write_video(
        tmp_path / "v.mkv", [picture(frame) for frame in range(3)], pixel_format=pixel_format, codec=codec
    )
    with create_pipeline(url=detector.url) as pipeline:
        results = list(pipeline.watch(path))
    assert [result.boxes[0]["coordinate"][0] for result in results] == pytest.approx([4, 8, 12], abs=1.5)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation_metadata(tmp_path: Path, detector: FakeServer, turns: int) -> None:
    """A phone stores the frames as the sensor sees them, and by how many quarter turns clockwise to show them."""
    stored = [np.rot90(picture(frame), turns) for frame in range(3)]
    path = write_video(tmp_path / "phone.mp4", [np.ascontiguousarray(one) for one in stored])
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44  # ISO 14496-12, 8.3.2: version 0 of the track header
    one = 1 << 16
    a, b = [(one, 0), (0, one), (-one, 0), (0, -one)][turns]
    struct.pack_into(">9i", content, matrix, a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    with create_pipeline(url=detector.url) as pipeline:
        results = list(pipeline.watch(path))
    assert [result.img["res"].size for result in results] == [(160, 96)] * 3
    assert [result.boxes[0]["coordinate"][0] for result in results] == pytest.approx([4, 8, 12], abs=1.5)


def test_several_files_at_once(video: Path, tmp_path: Path, detector: FakeServer) -> None:
    other = write_video(tmp_path / "other.mp4", [picture(frame) for frame in range(10)])
    with create_pipeline(url=detector.url) as pipeline:
        results = list(pipeline.watch([video, other]))
    for path, count in ((video, 36), (other, 10)):
        assert [one["frame"] for one in results if one.input_path == str(path)] == list(range(count))


def test_bad_sources(tmp_path: Path, detector: FakeServer, watch: Run) -> None:
    text, empty, sound = tmp_path / "notes.mp4", tmp_path / "empty.mp4", tmp_path / "sound.wav"
    text.write_text("no video\n" * 50)
    empty.write_bytes(b"")
    with av.open(str(sound), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        output.mux(stream.encode(frame))
    for source, words in (
        (tmp_path / "missing.mp4", "no such file or folder"),
        ("97", "no such device: /dev/video97; this machine has"),
        (text, "this is not a video"),
        (empty, "this is not a video"),
        (sound, "there is no video in it"),
        ("http://[::1/a.mp4", "cannot be opened"),
        ("rtsp://user:secret@127.0.0.1:1/s", "nothing listens at this port"),
    ):
        code, out, err = watch(source)
        assert (code, out) == (1, ""), source
        assert words in err
        assert err.count("\n") == 1
        assert "secret" not in err
    with create_pipeline(url=detector.url) as pipeline:
        with pytest.raises(MissingFileError, match="no such file"):
            next(pipeline.watch(tmp_path / "missing.mp4"))
        with pytest.raises(UnreadableFileError):
            next(pipeline.watch(text))
        for options in (
            {"every": 0},
            {"max_fps": 0},
            {"start": -1},
            {"duration": 0},
            {"stall_timeout": 1e300},
            {"expand": -1},
            {"lines": "1,2"},
        ):
            with pytest.raises(InvalidConfigError):
                pipeline.watch(text, **options)
        with pytest.raises(TypeError, match="did you mean 'track'"):
            pipeline.watch(text, trak=True)


def test_a_file_that_was_cut_off_gives_the_frames_before(tmp_path: Path, watch: Run) -> None:
    path = write_video(tmp_path / "whole.ts", [picture(frame) for frame in range(30)], container="mpegts")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    code, out, _ = watch(path)
    frames = [json.loads(line)["frame"] for line in out.splitlines()]
    assert code == 0
    assert frames == list(range(len(frames)))
    assert 8 < len(frames) < 30

"""What `sod watch` writes: videos, text, events, metrics and a page."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image
from sod_client._streams.outputs.files import Segments
from sod_client._streams.outputs.metrics import Metrics
from sod_client._streams.outputs.video import VideoWriter
from sod_client._streams.outputs.web import LivePage, WebServer

from tests.clients import full_disk
from tests.clients.conftest import FakeServer
from tests.clients.streams.conftest import Run, picture, write_video

COMMAND = (sys.executable, "-m", "sod_client", "watch", "--format", "none")
LINE = ("--line", "mid=80,0,80,96")
ZONE = ("--zone", "z=80,0,160,0,160,96,80,96")


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_all_files_of_a_video(video: Path, tmp_path: Path, watch: Run) -> None:
    names = ("out.mp4", "out.mkv", "out.jsonl", "out.csv", "out.txt")
    paths = [part for name in names for part in ("--save_path", tmp_path / "new" / name)]
    events = tmp_path / "events.jsonl"
    code, out, err = watch(video, *LINE, *paths, "--events", events, "--format", "none")
    assert (code, out, err) == (0, "", "")
    mp4, mkv, jsonl, table, mot = (tmp_path / "new" / name for name in names)
    for path in (mp4, mkv):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 160, 96)
            times = [frame.time for frame in container.decode(stream)]
        assert times == pytest.approx([frame / 25 for frame in range(36)], abs=2e-3)
    frames = frames_of(mp4)
    assert abs(frames[20][45, 90].astype(int) - 250).max() < 30  # the square is visible
    assert abs(frames[20].astype(int) - picture(20)).max() > 80  # and something is drawn
    lines = [json.loads(line) for line in jsonl.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(36))
    assert lines[20]["objects"][0]["track_id"] == 1
    assert lines[35]["counts"]["lines"]["mid"]["out"] == {"car": 1}
    assert table.read_text().splitlines()[0].startswith("source,frame,time,track_id,cls_id,label")
    assert len(table.read_text().splitlines()) == 37
    first = mot.read_text().splitlines()[0].split(",")
    assert first[:2] + first[-2:] == ["1", "1", "4", "1"]
    assert [json.loads(line)["event"] for line in events.read_text().splitlines()] == ["cross"]


def test_what_is_blurred_is_gone_from_the_video(tmp_path: Path, watch: Run) -> None:
    """The square has a pattern; where it is written it has none."""
    pictures = []
    for frame in range(10):
        pixels = picture(frame)
        x, y = 4 + 4 * frame, 40
        pixels[y + 2 : y + 10 : 2, x + 2 : x + 10] = 170
        pictures.append(pixels)
    path = write_video(tmp_path / "people.mp4", pictures)
    for arguments, low, high in ((), 30, 200), (("--blur", "car"), 0, 25):
        watch(path, "--save_path", tmp_path / "out.mp4", "--format", "none", *arguments)
        inside = frames_of(tmp_path / "out.mp4")[8][43:49, 39:45].astype(float)
        assert low <= inside.std(axis=0).max() <= high, arguments


def test_formats_of_stdout(video: Path, watch: Run) -> None:
    assert watch(video, "--duration", "0.1", "--format", "text")[1].splitlines() == [
        f"{video} {frame / 25:.2f} s, frame {frame}: 1 car" for frame in range(3)
    ]
    rows = watch(video, "--duration", "0.1", "--format", "csv")[1].splitlines()
    assert (rows[0][:6], len(rows)) == ("source", 4)
    assert len(watch(video, "--duration", "0.1")[1].splitlines()) == 3


def test_a_killed_process_leaves_a_video_that_plays(tmp_path: Path, detector: FakeServer) -> None:
    path = write_video(tmp_path / "long.mp4", [picture(frame % 36) for frame in range(300)])
    answer, gate = detector.reply, threading.Event()

    def reply(body: Any) -> Any:
        if len(detector.requests) > 200:
            gate.wait(20)
        return answer(body)

    detector.reply = reply
    out, text = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    process = subprocess.Popen(
        [*COMMAND, str(path), "--url", detector.url, "--save_path", str(out), "--save_path", str(text)]
    )
    try:
        until = time.monotonic() + 30
        while len(detector.requests) < 200 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        gate.set()
    assert 100 <= len(frames_of(out)) <= 200
    assert len([json.loads(line) for line in text.read_text().splitlines()]) >= 190


def test_a_full_disk_is_one_sentence_and_what_is_there_plays(tmp_path: Path, detector: FakeServer) -> None:
    random = np.random.default_rng(0)
    path = write_video(tmp_path / "v.mp4", [random.integers(0, 255, (96, 160, 3), np.uint8) for _ in range(200)])
    out = tmp_path / "out.mp4"
    done = full_disk.run([*COMMAND, str(path), "--url", detector.url, "--save_path", str(out)], largest=400_000)
    assert done.returncode == 1
    assert re.fullmatch(rf"sod: {re.escape(str(out))} cannot be written: .*too large.*\n", done.stderr)
    frames = []
    with av.open(str(out)) as container, suppress(av.error.InvalidDataError):  # only the last fragment is cut off
        for frame in container.decode(video=0):
            frames.append(frame.time)
    assert frames == pytest.approx([number / 25 for number in range(len(frames))], abs=2e-3)
    assert len(frames) >= 10


def test_a_full_disk_leaves_whole_lines(video: Path, tmp_path: Path, detector: FakeServer) -> None:
    for name in ("out.jsonl", "out.csv"):
        command = [*COMMAND, str(video), "--url", detector.url, "--save_path", str(tmp_path / name)]
        done = full_disk.run(command, largest=1000)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{name} cannot be written" in done.stderr
        text = (tmp_path / name).read_text()
        assert len(text) > 500
        assert text.endswith("}\n" if name == "out.jsonl" else ".0\n")


def test_few_frames_are_lost_in_the_encoder(tmp_path: Path) -> None:
    """A kill loses the last fragment, and the frames that the encoder holds, whatever the time between two is."""
    writer = VideoWriter(tmp_path / "slow.mp4", None)
    for frame in range(8):
        writer.write(Image.fromarray(picture(frame)), 5.0 * frame)
    assert len(frames_of(tmp_path / "slow.mp4")) >= 4


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_segment_ends_loses_no_frame(
    kind: signal.Signals, video: Path, tmp_path: Path, watch: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, interrupted = VideoWriter.close, []

    def close_late(writer: VideoWriter) -> None:
        if writer._container is not None and not interrupted:
            interrupted.append(kind)
            os.kill(os.getpid(), kind)
            time.sleep(0.01)
        close(writer)

    monkeypatch.setattr(VideoWriter, "close", close_late)
    code, _, err = watch(video, "--save_path", tmp_path / "out.mp4", "--segment", "0.5", "--format", "none")
    assert (code, err) == (130, "")
    assert [len(frames_of(path)) for path in sorted(tmp_path.glob("out_2*.mp4"), key=os.path.getmtime)] == [13, 1]


def test_a_signal_that_the_shell_ignores_stays_ignored(
    video: Path, tmp_path: Path, watch: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoWriter, "close", lambda _: os.kill(os.getpid(), signal.SIGINT))
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code, _, err = watch(video, "--save_path", tmp_path / "out.mp4", "--format", "none")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)
    assert (code, err) == (0, "")


def test_another_size_midway_begins_another_file(tmp_path: Path, watch: Run) -> None:
    parts = [
        write_video(tmp_path / f"{k}.ts", [picture(frame, size) for frame in range(12)], container="mpegts")
        for k, size in enumerate([(160, 96), (200, 120)])
    ]
    path = tmp_path / "changing.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    code, out, _ = watch(path, "--save_path", tmp_path / "out.mp4")
    assert code == 0
    assert len(out.splitlines()) == 24
    assert frames_of(tmp_path / "out.mp4")[0].shape == (96, 160, 3)
    assert frames_of(tmp_path / "out_part2.mp4")[0].shape == (120, 200, 3)


def test_segments(video: Path, tmp_path: Path, watch: Run) -> None:
    watch(video, "--save_path", tmp_path / "out.mp4", "--save_path", tmp_path / "out.jsonl", "--segment", "0.5")
    assert [len(frames_of(path)) for path in sorted(tmp_path.glob("out_2*.mp4"), key=os.path.getmtime)] == [13, 13, 10]
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.glob("out_2*.jsonl")) == 36
    segments = Segments(tmp_path / "out.mp4", 0.5)
    assert not segments.begin(0.0).exists()  # an earlier run's segment stays


def test_several_sources_have_a_video_each(video: Path, tmp_path: Path, watch: Run) -> None:
    other = write_video(tmp_path / "b.mp4", [picture(frame) for frame in range(10)])
    watch(video, other, "--save_path", tmp_path / "o.mp4", "--save_path", tmp_path / "o.csv", "--format", "none")
    assert [len(frames_of(tmp_path / f"o_{k}.mp4")) for k in (1, 2)] == [36, 10]
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 47


def test_the_webhook_gets_each_event_again_until_it_takes_it(video: Path, detector: FakeServer, watch: Run) -> None:
    answer, refused = detector.reply, []

    def reply(body: Any) -> Any:
        if "event" not in body:
            return answer(body)
        refused.append(body)
        return (503, b"") if len(refused) == 1 else (200, b"")

    detector.reply = reply
    code, _, err = watch(video, *LINE, "--webhook", f"{detector.url}/hook", "--format", "none")
    assert code == 0
    assert [one["direction"] for one in refused] == ["out", "out"]
    assert "answered 503" in err
    assert "takes events again" in err


def test_a_webhook_that_is_away_stops_nothing(
    video: Path, watch: Run, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sod_client._streams.outputs.webhook.CLOSE_S", 0.5)
    began = time.monotonic()
    code, out, err = watch(video, *LINE, "--webhook", nowhere.replace("http://", "http://me:secret@"))
    assert (code, len(out.splitlines())) == (0, 36)
    assert "did not respond" in err
    assert "1 event was not delivered" in err
    assert "secret" not in err
    assert time.monotonic() - began < 10


def test_metrics_and_page_while_it_runs(video: Path, detector: FakeServer) -> None:
    answer, gate = detector.reply, threading.Event()

    def reply(body: Any) -> Any:
        if len(detector.requests) > 30:
            gate.wait(20)
        return answer(body)

    detector.reply = reply
    process = subprocess.Popen(
        [*COMMAND, str(video), "--url", detector.url, "--format", "json", *LINE, *ZONE, "--metrics", ":0", "--show"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert process.stdout is not None
        lines = [process.stderr.readline() for _ in range(2)]
        found = {("metrics" in line): match[0] for line in lines if (match := re.search(r"http://\S+", line))}
        for _ in range(28):
            process.stdout.readline()
        text = httpx.get(found[True]).text
        source = f'source="{video}"'
        assert f'sod_watch_crossings_total{{{source},line="mid",direction="out",class="car"}} 1\n' in text
        assert f'sod_watch_zone_objects{{{source},zone="z",class="car"}} 1\n' in text
        assert "# TYPE sod_watch_frames_total counter\n" in text
        page = found[False]
        assert 'img src="/0.mjpg"' in httpx.get(page).text
        assert httpx.get(page, headers={"Host": "evil.example"}).status_code == 403
        with httpx.stream("GET", f"{page}/0.mjpg") as response:
            part = next(response.iter_bytes())
        assert part.startswith(b"--frame\r\nContent-Type: image/jpeg")
    finally:
        gate.set()
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_bad_arguments(video: Path, tmp_path: Path, watch: Run) -> None:
    for arguments, words in (
        (("--save_path", tmp_path / "out.avi"), "the suffix must be"),
        (("--save_path", video), "is the source"),
        (("--save_path", tmp_path / "a.mp4", "--blur", "pedestrain"), "pedestrian"),
        (("--blur", "car"), "--blur has an effect only with a video (--save_path) or --show"),
        (("--segment", "1m"), "--segment has an effect only with --save_path or --events"),
        (("--show_port", "8000"), "--show_port has an effect only with --show"),
        (("--lost_after", "1"), "--lost_after has an effect only with --track, --line or --zone"),
        (("--save_path", tmp_path / "a.csv", "--save_path", tmp_path / "x/../a.csv"), "two options write to"),
        (("--save_path", tmp_path / "a.jsonl", "--events", tmp_path / "a.jsonl"), "two options write to"),
        (("--events", tmp_path), "it is a folder"),
        (("--events", video / "a.jsonl"), "cannot be written: "),
        (("--events", tmp_path / ("n" * 300)), "cannot be written: "),
        (("--track", "--expand", "-1"), "expand must be a number from 0"),
        (("--line", "1,2,3"), "is not a list of pairs"),
        (("--webhook", "ftp://x"), "must be an http:// or https:// URL"),
        (("--webhook", "http://127.0.0.1:99999"), "must be an http:// or https:// URL"),
        (("--metrics", "here"), "is not an address"),
        (("--metrics", "192.0.2.1:9"), "cannot listen"),
        (("--shapes", tmp_path / "none.json"), "no such file"),
        (("--line", "a=1,2,3,4", "--zone", "a=1,2,3,4,5,9"), "two lines or zones"),
    ):
        code, out, err = watch(video, *arguments)
        assert (code, out) == (2, ""), arguments
        assert words in err
        assert err.count("\n") == 1
    assert video.stat().st_size > 0
    others = [write_video(tmp_path / f"out_{k}.mp4", [picture(k)]) for k in (1, 2)]
    code, _, err = watch(*others, "--save_path", tmp_path / "out.mp4")  # which out_1.mp4 and out_2.mp4 would be
    assert code == 2
    assert "out_1.mp4 is the source" in err


def test_names_in_metrics_are_escaped() -> None:
    server = WebServer(("127.0.0.1", 0), {"/metrics": Metrics().answer, **LivePage(['<a> "b"']).paths()})
    try:
        assert "&lt;a&gt;" in httpx.get(server.url).text
        assert httpx.get(f"{server.url}/none").status_code == 404
    finally:
        server.close()


def test_the_page_lists_the_metrics() -> None:
    page = (Path(__file__).parents[3] / "docs/streams.md").read_text("utf-8")
    listed = {
        name: (kind, meaning)
        for name, kind, meaning in re.findall(r"^\| `(sod_watch_\w+)` \| (\w+) \| .* \| (.*) \|$", page, re.MULTILINE)
    }
    text = Metrics().text()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    meanings = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE))
    assert listed == {name: (kinds[name], meanings[name]) for name in kinds}

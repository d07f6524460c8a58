"""The sections `lag` and `memory`: a live stream, and a stand-in for the server."""

import json
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
from sod_client import Pipeline, create_pipeline

from benchmarks import child
from benchmarks.performance.errors import BenchmarkError
from benchmarks.stand_in import process as stand_in
from benchmarks.watch.options import Options
from benchmarks.watch.street import HEIGHT, RATE, WIDTH, film
from server.launching import free_ports

_SPEED = 10.5  # of the stream in `memory`: at least 10 with what its beginning takes
_TIMES_FASTER = 5  # the source of `lag` than the server
_LAG_ANSWER_S = 0.1
_MEMORY_ANSWER_S = 0.02
_ALONE = 10  # answers that are measured one after the other
_FIRST = 3  # results during which connections are made
_FILM_S = 10.0
_SAMPLE_S = 0.2
_STOP_S = 10.0


def measure_lag(options: Options) -> dict[str, Any]:
    """How old shown results are, with a stream that is five times as fast as the server.

    Returns:
        `answer_s`: the median of answers that were asked for one after the other; `lag_s`: `median` and `max` from the
        decoding of a frame to its result; `ratio`: of the largest lag to the answer; `results` and `dropped`: numbers.
    """
    video = _video(options.folder)
    rate = _TIMES_FASTER / _LAG_ANSWER_S
    with (
        stand_in.started(_LAG_ANSWER_S, at_once=1) as server,
        create_pipeline(url=server.url) as pipeline,
        _camera(video, rate, round(rate * options.lag_seconds)) as (url, _),
    ):
        answer_s = _answer_s(pipeline, video)
        lags, dropped = [], 0
        for result in pipeline.watch(url, once=True):
            lags.append(result.lag)
            dropped = result.dropped
    if len(lags) <= _FIRST:
        raise BenchmarkError(f"the stream gave {len(lags)} results; more seconds are needed")
    lags = lags[_FIRST:]
    return {
        "answer_s": round(answer_s, 4),
        "lag_s": {"median": round(statistics.median(lags), 4), "max": round(max(lags), 4)},
        "ratio": round(max(lags) / answer_s, 3),
        "results": len(lags),
        "dropped": dropped,
    }


def measure_memory(options: Options) -> dict[str, Any]:
    """Memory of `sod watch` with a long stream at ten times its speed, with tracks, a line, text and a video.

    Returns:
        `stream_s`: seconds of the stream at its own speed; `speed`: how many of them were read in a second; `mib`:
        resident memory as the medians of eight equal parts of the time; `results` and `dropped`: numbers.

    Raises:
        BenchmarkError: `sod watch` fails.
    """
    video = _video(options.folder)
    frames = round(options.stream_seconds * RATE)
    rows = options.folder / "memory.jsonl"
    outputs = ["--save_path", str(rows), "--save_path", str(options.folder / "memory.mp4")]
    line = ["--track", "--line", "80,0,80,180", "--format", "none"]
    with (
        stand_in.started(_MEMORY_ANSWER_S) as server,
        _camera(video, RATE * _SPEED, frames) as (url, camera),
        child.started(
            ["-m", "sod_client", "watch", url, "--once", "--url", server.url, *line, *outputs], stdout=subprocess.PIPE
        ) as process,
    ):
        samples = _memory(process)
        if process.returncode:
            error = process.stderr.read().strip()[-500:] if process.stderr else ""
            raise BenchmarkError(f"sod watch ended with {process.returncode}: {error}")
        seconds = float(camera.communicate()[0])
    parts = np.array_split(np.array(samples), 8)
    lines = rows.read_text(encoding="utf-8").splitlines()
    return {
        "stream_s": options.stream_seconds,
        "speed": round(options.stream_seconds / seconds, 2),
        "mib": [round(float(np.median(part)), 1) for part in parts],
        "results": len(lines),
        "dropped": json.loads(lines[-1])["dropped"],
    }


def _memory(process: "subprocess.Popen[str]") -> list[float]:
    """Resident MiB of a process, at equal intervals until it ends."""
    samples: list[float] = []
    while process.poll() is None:
        try:
            samples.append(psutil.Process(process.pid).memory_info().rss / 2**20)
        except psutil.NoSuchProcess:
            break
        time.sleep(_SAMPLE_S)
    process.wait()
    return samples


def _answer_s(pipeline: Pipeline, video: Path) -> float:
    spent = []
    frame = next(iter(pipeline.watch(video))).frame.item.decoded()
    for _ in range(_ALONE):
        began = time.perf_counter()
        list(pipeline.predict(np.asarray(frame)[..., ::-1]))
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def _video(folder: Path) -> Path:
    """The boxes of a made street, 320 x 180, 10 s."""
    path = folder / "boxes.mp4"
    if path.exists():
        return path
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "bf": "0", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = WIDTH // 2, HEIGHT // 2, "yuv420p"
        for number, (_, boxes, class_ids) in enumerate(film(_FILM_S).truth):
            pixels = np.full((HEIGHT // 2, WIDTH // 2, 3), 90, np.uint8)
            for (x1, y1, x2, y2), class_id in zip((boxes / 2).round().astype(int).tolist(), class_ids, strict=True):
                cv2.rectangle(pixels, (x1, y1), (x2, y2), (220, 30 * int(class_id), 40), cv2.FILLED)
            shot = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            shot.pts, shot.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(shot))
        output.mux(stream.encode(None))
    return part.replace(path)


@contextmanager
def _camera(video: Path, rate: float, count: int) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The URL of a stream of so many frames, and the process that plays it."""
    port = free_ports(1)[0]
    with child.started(
        ["-m", "benchmarks.watch.camera", str(port), str(video), str(rate), str(count)], stdout=subprocess.PIPE
    ) as process:
        until = time.monotonic() + _STOP_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise BenchmarkError(f"the stream at port {port} was not started")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/street.ts", process


def _listens(port: int) -> bool:
    """Whether something listens; it is not connected, because the stream has one client."""
    return any(
        one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN
        for one in psutil.net_connections("tcp4")
    )

"""Short videos, and a server that finds the bright squares in their frames."""

import base64
import io
import json
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sod_client import Pipeline, create_pipeline

from tests.clients.conftest import SUCCESS, FakeServer, Reply

SIZE = (160, 96)
SQUARE = 12
RATE = 25


def square_at(frame: int) -> tuple[int, int]:
    """The upper left corner of the moving square in a frame; it crosses x = 80 from left to right."""
    return 4 + 4 * frame, 40


def picture(frame: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A grey frame with one bright square, uint8 [H, W, 3] RGB."""
    pixels = np.full((size[1], size[0], 3), 60, np.uint8)
    x, y = square_at(frame)
    pixels[y : y + SQUARE, x : x + SQUARE] = 250
    return pixels


def looped(frame: int) -> NDArray[np.uint8]:
    """The picture of an endless stream: the square begins anew."""
    return picture(frame % 36)


def write_video(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    times: Sequence[float] | None = None,
    pixel_format: str = "yuv420p",
    codec: str = "libx264",
    container: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames as a video, at `RATE` or at these times in seconds."""
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, options={"crf": "12", "g": "10", **(options or {})})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = Fraction(1, 90_000)
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = round(90_000 * (number / RATE if times is None else times[number]))
            frame.time_base = Fraction(1, 90_000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def find_squares(body: Any) -> Reply:
    """What a detector of bright squares answers: one `car` around all bright pixels."""
    if body is None:  # GET /models
        model = {
            "name": "m",
            "labels": ["pedestrian", "people", "bicycle", "car"],
            "inputSize": [640, 640],
            "default": True,
        }
        return 200, json.dumps({**SUCCESS, "result": {"models": [model]}}).encode()
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["image"]))).convert("L"))
    rows, columns = np.nonzero(pixels > 160)
    objects = []
    if len(rows):
        box = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
        objects.append({"bbox": box, "categoryId": 3, "categoryName": "car", "score": 0.9})
    result = {"detectedObjects": objects}
    return 200, json.dumps({"logId": "1", "errorCode": 0, "errorMsg": "Success", "result": result}).encode()


@pytest.fixture
def detector(server: FakeServer) -> FakeServer:
    """A server that finds the square."""
    server.reply = find_squares
    return server


@pytest.fixture
def pipeline(detector: FakeServer) -> Iterator[Pipeline]:
    with create_pipeline(url=detector.url) as made:
        yield made


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 frames in which the square crosses the picture."""
    return write_video(tmp_path_factory.mktemp("video") / "street.mp4", [picture(frame) for frame in range(36)])


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def watch(detector: FakeServer, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `sod watch` with these arguments; returns the exit code, stdout and stderr."""
    from sod_client.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["watch", *map(str, arguments), "--url", detector.url])
        out, err = capsys.readouterr()
        return code, out, err

    return run

"""Damaged input of every kind ends in an answer: seconds of it here, minutes by `make fuzz`."""

import asyncio
import base64
import json
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.http_server.connection import ConnectionLimits, HttpConnection
from tests.hostile import images
from tests.hostile.mutations import mutate, seeds, split

ROOT = Path(__file__).parents[2]
EXAMPLES = 300
_DECODING_S = 5.0  # processor time for one image of up to four megapixels
_MAX_PIXELS = 4_000_000

IMAGES: tuple[Callable[[], bytes], ...] = (
    *(lambda extension=extension: images.plain(extension) for extension in (".jpg", ".png", ".webp", ".bmp", ".tif")),
    lambda: images.progressive_jpeg(64, 5),
    lambda: images.jpeg_exif(2, 200),
    lambda: images.jpeg_tables(3),
    lambda: images.png_texts(3),
    lambda: images.png_compressed_texts(1, 1000),
    lambda: images.png_in_pieces(3),
    lambda: images.tiff_told_twice(100, 64),
    lambda: images.tiff_tags(3),
    lambda: images.tiff_shared_values(2, 100),
    lambda: images.tiff_tiles(64),
    lambda: images.webp_chunks(3),
)


class DecodeWorker:
    """A process that decodes, started again where an image has ended it."""

    def __init__(self) -> None:
        self.process = self._start()

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.hostile.decode_worker"]
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def decode(self, data: bytes) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            outcome: dict[str, Any] = json.loads(line)
            return outcome
        return {"error": f"the process ended with {self.process.wait()}", "seconds": 0.0}

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


@pytest.fixture
def worker() -> Iterator[DecodeWorker]:
    worker = DecodeWorker()
    yield worker
    worker.close()


def test_damaged_images_are_decoded_or_refused(worker: DecodeWorker) -> None:
    for seed in seeds(2 * EXAMPLES):
        rng = random.Random(seed)
        data = mutate(rng.choice(IMAGES)(), rng)
        outcome = worker.decode(data)
        assert "error" not in outcome, f"seed {seed}: {outcome}"
        assert outcome.get("pixels", 0) <= _MAX_PIXELS, f"seed {seed}: {outcome}"
        assert outcome["seconds"] < _DECODING_S, f"seed {seed}: {outcome}"


class _Transport(asyncio.Transport):
    """What a connection writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


REQUESTS = (
    b"GET /health HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: y\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
)


async def _respond(_: Any, receive: Any, send: Any) -> None:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_damaged_requests_are_answered_or_cut() -> None:
    config = Config(_respond, lifespan="off", log_config=None, access_log=False, ws="none")
    config.load()
    state = ServerState()
    for seed in seeds(5 * EXAMPLES):
        rng = random.Random(seed)
        data = mutate(b"".join(rng.choices(REQUESTS, k=rng.randint(1, 3))), rng)
        connection = HttpConnection(config=config, server_state=state, app_state={}, limits=ConnectionLimits(60, 60))
        transport = _Transport()
        connection.connection_made(transport)
        for piece in split(data, rng):
            connection.data_received(piece)
            await asyncio.sleep(0)
        connection.eof_received()
        for _ in range(3):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.gather(*state.tasks)
        written = bytes(transport.written)
        assert written == b"" or written.startswith(b"HTTP/1.1 "), f"seed {seed}: {written[:100]!r}"
        assert written.count(b"HTTP/1.1 200") <= data.count(b" /"), f"seed {seed}"  # one response a request


BOUNDARY = "b0undary"
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n'
    "\r\n{}\r\n"
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="threshold"\r\n\r\n{{{{"0": 0.5}}}}\r\n--{BOUNDARY}--\r\n'
)


async def test_damaged_bodies_are_answered(gateway: httpx.AsyncClient) -> None:
    image = base64.b64encode(images.plain(".jpg"))
    document = b'{"image": "' + image + b'", "threshold": {"0": 0.5, "3": 1e-1}, "visualize": false, "logId": "a"}'
    batch = b'{"images": ["' + image + b'", {"image": "' + image + b'", "threshold": 0.5}], "visualize": false}'
    form = FORM.format("x").encode().replace(b"\r\nx\r\n", b"\r\n" + images.plain(".jpg") + b"\r\n")
    bodies = (
        ("/small-object-detection", "application/json", document),
        ("/small-object-detection/batch", "application/json", batch),
        ("/small-object-detection", f"multipart/form-data; boundary={BOUNDARY}", form),
        ("/small-object-detection?visualize=false", "image/jpeg", images.plain(".jpg")),
    )
    for seed in seeds(EXAMPLES):
        rng = random.Random(seed)
        path, kind, body = rng.choice(bodies)
        response = await gateway.post(path, content=mutate(body, rng), headers={"content-type": kind})
        assert response.status_code in (200, 404, 413, 415, 422), f"seed {seed}: {response.text[:200]}"
        code = response.json()["errorCode"]
        assert code == (0 if response.status_code == 200 else response.status_code), f"seed {seed}"
        assert len(response.content) < 20 * len(body), f"seed {seed}"

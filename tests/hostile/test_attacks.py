"""Images and documents that would cost far more than their size are refused at once by a real server."""

import base64
import json
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, serve
from tests.hostile import images
from tests.hostile.attacked_server import MIB, PATH, STREET, AttackedServer, same_objects

_SHUTDOWN_TIMEOUT_S = 5
_SHUTDOWN_MARGIN_S = 15  # for Triton and the launcher, on a busy machine


def document(image: bytes | str, **fields: object) -> bytes:
    text = image if isinstance(image, str) else base64.b64encode(image).decode()
    return json.dumps({"image": text, **fields}).encode()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """2.1 MB of grey that takes minutes to decode."""
    return images.progressive_jpeg(8192, 20_000)


@pytest.mark.parametrize("visualize", [False, True])
def test_a_jpeg_of_many_scans(server: AttackedServer, bomb: bytes, visualize: bool) -> None:
    body = document(bomb, visualize=visualize)
    with server.attacked(cpu_s=5, memory_mib=128), ThreadPoolExecutor(3) as pool:
        responses = list(pool.map(server.post, [body] * 3))
    for response in responses:
        assert response.status_code == 422
        assert "more than 500 scans" in response.json()["errorMsg"]


IMAGES: dict[str, Callable[[], bytes]] = {
    "fill bytes of a JPEG": lambda: images.jpeg_with(b"\xff" * 40_000_000),
    "EXIF": lambda: images.jpeg_exif(400),
    "tables of a JPEG": lambda: images.jpeg_tables(500_000),
    "texts of a PNG": lambda: images.png_texts(1_000_000),
    "compressed texts of a PNG": lambda: images.png_compressed_texts(100),
    "pieces of a PNG": lambda: images.png_in_pieces(1_000_000),
    "size of a TIFF given twice": lambda: images.tiff_told_twice(20_000, 64),
    "tags of a TIFF": lambda: images.tiff_tags(20_000),
    "values of a TIFF": lambda: images.tiff_shared_values(1000, 4_000_000),
    "tile of a TIFF": lambda: images.tiff_tiles(20_000),
    "chunks of a WebP": lambda: images.webp_chunks(1_000_000),
    "metadata of a WebP": lambda: images.webp_chunks(1, 30_000_000, b"EXIF"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_of_too_many_parts(server: AttackedServer, kind: str) -> None:
    image = IMAGES[kind]()
    # What is sent, its text, and the image decoded from it.
    memory = 64 + 5 * len(image) / MIB
    for visualize in (False, True):
        with server.attacked(cpu_s=2.5, memory_mib=memory):
            response = server.post(document(image, visualize=visualize))
        assert response.status_code == 422, response.text
        assert response.json()["errorCode"] == 422


@pytest.mark.parametrize("keys", [4000, 1_000_000])
def test_thresholds_of_unknown_classes(server: AttackedServer, keys: int) -> None:
    body = document("aGk=", threshold={f"a{n}": 0 for n in range(keys)})
    with server.attacked(cpu_s=2, memory_mib=128):
        response = server.post(body)
    assert response.status_code == 422
    assert len(response.content) < 64 * 1024


@pytest.mark.parametrize("path", [PATH, f"{PATH}/batch"])
@pytest.mark.parametrize(
    "more", [b"[]," * 20_000_000 + b"[]", b"[" * 30_000_000 + b"]" * 30_000_000], ids=["wide", "deep"]
)
def test_a_document_of_many_values(server: AttackedServer, path: str, more: bytes) -> None:
    body = b'{"image": "aGk=", "images": ["aGk="], "more": [' + more + b"]}"
    with server.attacked(cpu_s=3, memory_mib=256):
        response = server.post(body, path=path)
    assert response.status_code == 422
    assert len(response.content) < 64 * 1024


def part(*headers: bytes) -> bytes:
    return b"--b\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n\r\n"


NAMED = b'Content-Disposition: form-data; name="x"'
FORMS = {
    "parts": part(NAMED) * 600_000,
    "headers": part(NAMED, *[b"X-A: b"] * 4_000_000),
    "long header": part(NAMED, b"X-A: " + b"b" * 40_000_000),
    "long header name": part(NAMED, b"X" * 40_000_000 + b": b"),
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_of_many_parts_or_headers(server: AttackedServer, kind: str) -> None:
    with server.attacked(cpu_s=2, memory_mib=64):
        response = server.post(FORMS[kind] + b"--b--\r\n", "multipart/form-data; boundary=b")
    assert response.status_code == 422
    assert len(response.content) < 64 * 1024


HEADS = {
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" * 1000),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 8000),
    "a long header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 64_000),
}


@pytest.mark.parametrize("kind", HEADS)
def test_an_image_url_whose_host_sends_a_head_without_end(server: AttackedServer, kind: str) -> None:
    first, then = HEADS[kind]

    def flood(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):
            connection.recv(65536)
            connection.sendall(first)
            while True:
                connection.sendall(then)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = threading.Thread(target=flood, args=[listener], daemon=True)
        host.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.jpg"
        with server.attacked(cpu_s=2, memory_mib=64):
            response = server.post(document(url, visualize=False))
        host.join(60)
    assert not host.is_alive()
    assert response.status_code == 422
    assert "response headers" in response.json()["errorMsg"]


def test_stuck_decoders_are_replaced_then_seen_by_readiness_and_never_waited_for(
    tmp_path: Path, free_ports: Callable[[int], list[int]]
) -> None:
    settings = {
        "SOD_MAX_IMAGE_SCANS": "200000",  # the image passes
        "SOD_TASK_TIMEOUT": "2",
        "SOD_WORKER_THREADS": "2",
        "SOD_SHUTDOWN_TIMEOUT": str(_SHUTDOWN_TIMEOUT_S),
    }
    body = document(images.progressive_jpeg(4096, 100_000), visualize=True)
    ended = threading.Event()
    with serve(REPOSITORY, tmp_path / "serve.log", free_ports(4), "--model", DEMO, **settings) as serving:
        server = AttackedServer(serving, STREET.read_bytes())

        def keep_posting() -> set[int]:
            statuses = set()
            with suppress(httpx.TransportError):
                while not ended.is_set():
                    statuses.add(server.post(body).status_code)
            return statuses

        with ThreadPoolExecutor(4) as pool:
            try:
                assert [response.status_code for response in pool.map(server.post, [body] * 2)] == [422, 422]
                assert same_objects(server.detect(), server.objects)
                attackers = [pool.submit(keep_posting) for _ in range(4)]
                serving.wait_for(lambda: not serving.is_ready(), "readiness to fail")
                serving.process.send_signal(signal.SIGTERM)
                assert serving.process.wait(_SHUTDOWN_TIMEOUT_S + _SHUTDOWN_MARGIN_S) == 0
            finally:
                ended.set()
            for attacker in attackers:
                assert attacker.result() <= {422, 503}

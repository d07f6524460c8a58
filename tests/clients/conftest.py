"""A server that implements the wire contract on a free loopback port, and images to send to it."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Reply = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]


def jpeg(width: int = 64, height: int = 48, colour: tuple[int, int, int] = (30, 90, 200)) -> bytes:
    """A plain image."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "JPEG")
    return buffer.getvalue()


OVERLAY = jpeg(colour=(200, 30, 30))
SUCCESS: dict[str, Any] = {
    "logId": "0b7e",
    "errorCode": 0,
    "errorMsg": "Success",
    "result": {
        "detectedObjects": [
            {"bbox": [203.6, 701.4, 224.2, 743.8], "categoryId": 0, "categoryName": "pedestrian", "score": 0.8183},
            {"bbox": [1, 2, 3, 4], "categoryId": 3, "categoryName": "车", "score": 0.5},
        ],
        "image": base64.b64encode(OVERLAY).decode(),
    },
}
BOXES = [
    {"cls_id": 0, "label": "pedestrian", "score": 0.8183, "coordinate": [203.6, 701.4, 224.2, 743.8]},
    {"cls_id": 3, "label": "车", "score": 0.5, "coordinate": [1.0, 2.0, 3.0, 4.0]},
]


def success(*, log_id: str = "7") -> Reply:
    """A reply with the objects and the drawing of `SUCCESS`."""
    return 200, json.dumps({**SUCCESS, "logId": log_id}).encode()


def numbered(count: int) -> list[str]:
    """URLs of images that the server can distinguish."""
    return [f"http://example.com/{number}.jpg" for number in range(count)]


def without_image(**changes: Any) -> dict[str, Any]:
    """`SUCCESS` without a drawing."""
    result = {key: value for key, value in SUCCESS["result"].items() if key != "image"}
    return {**SUCCESS, "result": {**result, **changes}}


class FakeServer:
    """Records the path, JSON body (None without one) and headers of each request, and responds with `reply(body)`.

    Status 0 closes the connection. An exception of `reply` becomes a 500 that quotes it. GET serves `files` first."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.files: dict[str, bytes] = {}
        self.reply: Callable[[Any], Reply] = lambda _: (500, b"")
        self.connections: set[Any] = set()
        self.open_connections = 0
        self.at_once = self.most_at_once = 0
        lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with lock:
                    fake.open_connections += 1

            def finish(self) -> None:
                super().finish()
                with lock:
                    fake.open_connections -= 1

            def do_GET(self) -> None:
                if self.path in fake.files:
                    self._send(200, fake.files[self.path], {})
                else:
                    self.do_POST()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
                with lock:
                    fake.requests.append((self.path, body))
                    fake.headers.append(dict(self.headers))
                    fake.connections.add(self.client_address)
                    fake.at_once += 1
                    fake.most_at_once = max(fake.most_at_once, fake.at_once)
                try:
                    status, content, *more = fake.reply(body)
                except Exception as error:
                    failure = {"logId": "0b7e", "errorCode": 500, "errorMsg": f"the test's reply failed: {error!r}"}
                    status, content, more = 500, json.dumps(failure).encode(), []
                finally:
                    with lock:
                        fake.at_once -= 1
                if status == 0:
                    self.close_connection = True
                    return
                self._send(status, content, more[0] if more else {})

            def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def respond_with(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        """Respond to every request with this content; anything but bytes is sent as JSON."""
        encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.reply = lambda _: (status, encoded, headers or {})

    def images(self) -> list[bytes]:
        """The images that were sent in base64."""
        return [base64.b64decode(body["image"]) for _, body in self.requests]

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOD_URL", "SOD_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sod_client._transport.retry.FIRST_PAUSE_S", 0.001)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    fake.respond_with(200, SUCCESS)
    yield fake
    fake.close()


@pytest.fixture
def nowhere() -> str:
    """The URL of a port on which no server listens."""
    fake = FakeServer()
    fake.close()
    return fake.url


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """The file of an image."""
    path = tmp_path / "street.jpg"
    path.write_bytes(jpeg())
    return path


def pdf(pages: int = 2, width: int = 100, height: int = 60, password: str = "") -> bytes:
    """A PDF whose pages have different greys. `password` only marks it as encrypted, so that it is refused."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{3 + 2 * page} 0 R" for page in range(pages))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>")
    for page in range(pages):
        content = f"{page / 10 + 0.1:.1f} g 0 0 {width} {height} re f"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents {4 + 2 * page} 0 R >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    encrypt = ""
    if password:
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{'28' * 32}> /U <{'41' * 32}> /P -4 >>")
        encrypt = f" /Encrypt {len(objects)} 0 R /ID [<{'00' * 16}> <{'00' * 16}>]"
    body, offsets = "%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R{encrypt} >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()

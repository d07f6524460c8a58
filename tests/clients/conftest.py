"""A server that speaks the wire contract, on a loopback port of its own."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Reply = tuple[int, bytes]


class FakeServer:
    """Records each request's path and JSON body, None without a body, and answers with what `reply` makes
    of it; status 0 hangs up."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.reply: Callable[[Any], Reply] = lambda _: (500, b"")
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
                fake.requests.append((self.path, body))
                status, content = fake.reply(body)
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def answers(self, status: int, content: Any) -> None:
        """Answer every request with this; what is no bytes is sent as JSON."""
        encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.reply = lambda _: (status, encoded)

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def nowhere() -> str:
    """The URL of a port that nobody listens on."""
    fake = FakeServer()
    fake.close()
    return fake.url

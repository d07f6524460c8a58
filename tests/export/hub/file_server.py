"""Real HTTP servers on loopback: one with files that fails as it is told, and a proxy that takes notes."""

import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import httpx

Fault = Callable[["FileHandler", bytes], None]


class Quiet(ThreadingHTTPServer):
    """Clients that hang up are what is tested here: not worth a line."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None: ...

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


@dataclass
class FileServer:
    """Serves `files`; each request takes the next of `faults`, if there is one, in place of a good answer.

    Attributes:
        files: name → content.
        etag: of all files; empty for none.
        ranges: answer Range as it should be.
        faults: used up one by one.
        requests: name and headers of each.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    ranges: bool = True
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._http = Quiet(("127.0.0.1", 0), type("Handler", (FileHandler,), {"of": self}))
        self._http.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._http.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/models"

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.requests]


class FileHandler(BaseHTTPRequestHandler):
    of: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.of.requests.append((name, headers))
        self.close_connection = True
        body = self.of.files.get(name)
        if body is None:
            return self.answer(404, b"no such file")
        if self.of.faults:
            return self.of.faults.popleft()(self, body)
        return self.whole_or_rest(body)

    def whole_or_rest(self, body: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not asked or not self.of.ranges or self.headers.get("If-Range", self.of.etag) != self.of.etag:
            return self.answer(200, body)
        start = int(asked[1])
        if start >= len(body):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        return self.answer(206, body[start:], {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] = {}, sent: int | None = None) -> None:
        """Announce the body, and send the first bytes of it."""
        self.send_response(status)
        given = {"Content-Length": str(len(body)), "Connection": "close"}
        if self.of.etag and status in (200, 206):
            given["ETag"] = self.of.etag
        for key, value in (given | dict(headers)).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:sent])
        self.wfile.flush()

    def log_message(self, *_: Any) -> None: ...


def cut_off(after: int) -> Fault:
    """Close the connection after that many bytes of the body."""
    return lambda handler, body: handler.answer(200, body, sent=after)


def stall(after: int) -> Fault:
    """Send nothing more, and keep the connection."""

    def fault(handler: FileHandler, body: bytes) -> None:
        handler.answer(200, body, sent=after)
        handler.of.released.wait(30)

    return fault


def status(code: int, **headers: str) -> Fault:
    return lambda handler, _: handler.answer(code, b"", {k.replace("_", "-"): v for k, v in headers.items()})


def with_headers(**headers: str) -> Fault:
    """A good body under other headers."""
    return lambda handler, body: handler.answer(200, body, {k.replace("_", "-"): v for k, v in headers.items()})


def chunked(handler: FileHandler, body: bytes) -> None:
    """A length nobody announced."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(body), 1000):
        part = body[start : start + 1000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    handler.wfile.write(b"0\r\n\r\n")


def another_rest(handler: FileHandler, body: bytes) -> None:
    """The rest of another file: a server that does not know If-Range."""
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}", "ETag": '"another"'}
    handler.answer(206, bytes(len(body) - start), headers)


class Proxy:
    """Forwards http:// requests, and writes down what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                given = httpx.get(self.path, trust_env=False)
                self.send_response(given.status_code)
                self.send_header("Content-Length", str(len(given.content)))
                self.end_headers()
                self.wfile.write(given.content)

            def log_message(self, *_: Any) -> None: ...

        self._http = Quiet(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        self._http.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._http.__exit__(*details)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

"""HTTP servers on loopback: a file server with programmable faults, and a proxy that records its requests."""

import re
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

Fault = Callable[["FileHandler", bytes], None]


class SilentServer(ThreadingHTTPServer):
    """Prints nothing if a client closes the connection, which the tests provoke."""

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
    """Serves `files`; each request consumes the next of `faults`, if there is one, in place of a good response.

    Attributes:
        files: name → content.
        etag: of all files; empty for no ETag.
        ranges: whether range requests are supported.
        faults: one per request.
        requests: name and headers of each request.
        certificate: PEM files of the certificate and its key, for https.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    ranges: bool = True
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    certificate: tuple[Path, Path] | None = None
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._http = SilentServer(("127.0.0.1", 0), type("Handler", (FileHandler,), {"of": self}))
        if self.certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self.certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._http.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._http.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self._http.server_port}/models"

    @property
    def requested_ranges(self) -> list[str | None]:
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
            return self.respond(404, b"no such file")
        if self.of.faults:
            return self.of.faults.popleft()(self, body)
        return self.whole_or_remainder(body)

    def whole_or_remainder(self, body: bytes) -> None:
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not requested or not self.of.ranges or self.headers.get("If-Range", self.of.etag) != self.of.etag:
            return self.respond(200, body)
        start = int(requested[1])
        if start >= len(body):
            return self.respond(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        return self.respond(206, body[start:], {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})

    def respond(self, status: int, body: bytes, headers: Mapping[str, str] = {}, sent: int | None = None) -> None:
        """Announce the whole body, and send its first `sent` bytes."""
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
    """Close the connection after this many bytes of the body."""
    return lambda handler, body: handler.respond(200, body, sent=after)


def stall(after: int) -> Fault:
    """Send this many bytes, then nothing, and keep the connection open."""

    def fault(handler: FileHandler, body: bytes) -> None:
        handler.respond(200, body, sent=after)
        handler.of.released.wait(30)

    return fault


def status(code: int, **headers: str) -> Fault:
    return lambda handler, _: handler.respond(code, b"", {k.replace("_", "-"): v for k, v in headers.items()})


def with_headers(**headers: str) -> Fault:
    """A good body with other headers."""
    return lambda handler, body: handler.respond(200, body, {k.replace("_", "-"): v for k, v in headers.items()})


def chunked(handler: FileHandler, body: bytes) -> None:
    """A body without a Content-Length."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(body), 1000):
        part = body[start : start + 1000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    handler.wfile.write(b"0\r\n\r\n")


def another_remainder(handler: FileHandler, body: bytes) -> None:
    """The remainder of another file, from a server that ignores If-Range."""
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}", "ETag": '"another"'}
    handler.respond(206, bytes(len(body) - start), headers)


class Proxy:
    """Forwards http:// requests and records their URLs."""

    def __init__(self) -> None:
        self.requested: list[str] = []
        requested = self.requested

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requested.append(self.path)
                response = httpx.get(self.path, trust_env=False)
                self.send_response(response.status_code)
                self.send_header("Content-Length", str(len(response.content)))
                self.end_headers()
                self.wfile.write(response.content)

            def log_message(self, *_: Any) -> None: ...

        self._http = SilentServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        self._http.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._http.__exit__(*details)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

"""A small HTTP server: a live page with the annotated frames (MJPEG), and Prometheus's metrics."""

import html
import io
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from sod_client.errors import InvalidConfigError

LOOPBACK = "127.0.0.1"
_BOUNDARY = "frame"
_QUALITY = 80
_PAGE = """<!doctype html><meta charset="utf-8"><title>sod watch</title>
<style>body{{margin:0;background:#111;color:#eee;font:14px sans-serif}}img{{max-width:100%;display:block}}</style>
{images}
"""


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT` or `PORT`; without a host the server is reached from this machine only.

    Raises:
        InvalidConfigError: it is none of these.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise InvalidConfigError(f"{text!r} is not an address such as :9100 or 0.0.0.0:9100")
    return host.strip("[]") or LOOPBACK, int(port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A browser that goes away is no error."""


class WebServer:
    """Serves GET requests in threads.

    Args:
        address: host and port; port 0 is a free one.
        paths: for each path a function that answers with a handler.

    Attributes:
        url: its address.

    Raises:
        InvalidConfigError: it cannot listen there.
    """

    def __init__(self, address: tuple[str, int], paths: dict[str, Callable[[BaseHTTPRequestHandler], None]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_GET(self) -> None:
                # A page of another site must not read frames through a name that resolves to this machine.
                name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
                is_foreign = address[0] == LOOPBACK and name not in (None, LOOPBACK, "localhost")
                answer = None if is_foreign else paths.get(self.path.partition("?")[0])
                if answer is None:
                    self.send_error(403 if is_foreign else 404)
                else:
                    answer(self)

            def log_message(self, *_: Any) -> None:
                """Nothing: the command's output is for results."""

        try:
            if ":" in address[0]:
                _Server.address_family = socket.AF_INET6
            self._server = _Server(address, Handler)
        except OSError as error:
            raise InvalidConfigError(
                f"cannot listen at {address[0]}:{address[1]}: {error.strerror or error}"
            ) from error
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="watch-web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()


def send(handler: BaseHTTPRequestHandler, content: str, kind: str) -> None:
    """Answer with a text."""
    encoded = content.encode()
    handler.send_response(200)
    handler.send_header("Content-Type", f"{kind}; charset=utf-8")
    handler.send_header("Content-Length", str(len(encoded)))
    handler.end_headers()
    handler.wfile.write(encoded)


class LivePage:
    """The newest annotated frame of each source, for any number of browsers, each at its own pace.

    Args:
        names: of the sources.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._changed = threading.Condition()
        self._frames: list[tuple[int, Image.Image | None]] = [(0, None)] * len(names)
        self._encoded: list[tuple[int, bytes]] = [(0, b"")] * len(names)
        self._is_closed = False

    def paths(self) -> dict[str, Callable[[BaseHTTPRequestHandler], None]]:
        """What a `WebServer` serves."""
        images = "".join(f'<p>{html.escape(name)}<img src="/{k}.mjpg" alt="">' for k, name in enumerate(self._names))
        found: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
            "/": lambda handler: send(handler, _PAGE.format(images=images), "text/html")
        }
        for number in range(len(self._names)):
            found[f"/{number}.mjpg"] = lambda handler, number=number: self._stream(handler, number)  # type: ignore[misc]
        return found

    def show(self, number: int, image: Image.Image) -> None:
        """Show a frame, RGB; it is encoded only if somebody looks."""
        with self._changed:
            self._frames[number] = (self._frames[number][0] + 1, image)
            self._changed.notify_all()

    def close(self) -> None:
        """End the streams."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _stream(self, handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        handler.send_header("Cache-Control", "no-store")
        handler.end_headers()
        sent = 0
        while (found := self._newer(number, sent)) is not None:
            sent, content = found
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            handler.wfile.write(head.encode() + content + b"\r\n")

    def _newer(self, number: int, sent: int) -> tuple[int, bytes] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._frames[number][0] > sent)
            if self._is_closed:
                return None
            version, image = self._frames[number]
            if self._encoded[number][0] != version and image is not None:
                buffer = io.BytesIO()
                image.save(buffer, "JPEG", quality=_QUALITY)
                self._encoded[number] = (version, buffer.getvalue())
            return self._encoded[number]

"""A web server that sends one image in every way that a URL of a request may lead to."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

PASSWORD = "user:secret"
_BASIC = "Basic dXNlcjpzZWNyZXQ="


@contextmanager
def serving(images: dict[str, bytes]) -> Iterator[str]:
    """Serve images on all loopback addresses; gives `127.0.0.1:<port>`.

    `/NAME` is the image; `/status/CODE/NAME` with that status; `/gzip/NAME` and `/deflate/NAME` compressed;
    `/redirect/NAME` leads to it; `/password/NAME` only with the password; `/text/NAME` is called text/html.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            *way, name = self.path.split("?")[0].strip("/").split("/")
            body = images.get(name, b"")
            status = 200 if body else 404
            headers = {"Content-Type": "text/html" if way == ["text"] else "image/jpeg"}
            if way[:1] == ["status"]:
                status = int(way[1])
            elif way == ["gzip"]:
                body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
            elif way == ["deflate"]:
                body, headers["Content-Encoding"] = zlib.compress(body), "deflate"
            elif way == ["redirect"]:
                status, body, headers["Location"] = 302, b"", f"/{name}"
            elif way == ["password"] and self.headers.get("Authorization") != _BASIC:
                status, body, headers["WWW-Authenticate"] = 401, b"", "Basic"
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)  # also 127.0.0.2, which ours may not fetch from
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

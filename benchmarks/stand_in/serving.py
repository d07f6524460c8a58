"""A stand-in for a gateway: it sleeps, and its objects depend on the image's bytes alone.

Arguments: port of 127.0.0.1, seconds for an image, images at once (0 is any number). It imports little, so that it
starts fast.
"""

import base64
import hashlib
import json
import sys
import time
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Semaphore
from typing import Any

_LABELS = ("pedestrian", "car", "bus")
_MODEL = {"name": "stand-in", "labels": list(_LABELS), "inputSize": [640, 640], "default": True}


def objects(content: bytes) -> list[dict[str, Any]]:
    """Up to seven objects that follow from an image's bytes."""
    digest = hashlib.sha256(content).digest()
    return [
        {
            "bbox": [k, k + 0.5, k + 9, k + 8],
            "categoryId": digest[k] % len(_LABELS),
            "categoryName": _LABELS[digest[k] % len(_LABELS)],
            "score": 0.5 + digest[k] / 512,
        }
        for k in range(digest[0] % 8)
    ]


def serve(port: int, seconds: float, at_once: int) -> None:
    """Listen on a port of 127.0.0.1 until the process ends."""
    places = Semaphore(at_once) if at_once else nullcontext()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({"models": [_MODEL]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with places:
                time.sleep(seconds)
            self._answer({"detectedObjects": objects(base64.b64decode(body["image"]))})

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, result: dict[str, Any]) -> None:
            content = json.dumps({"logId": "1", "errorCode": 0, "errorMsg": "Success", "result": result}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content)  # at once, or else Nagle's algorithm delays the second part

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client was killed."""

    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))

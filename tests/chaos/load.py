"""Clients that keep a server busy and compare every answer with the one that it gave before any fault."""

import base64
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import httpx
import numpy as np

# More than the server's own limit for a request: what takes longer hangs.
HUNG_S = 75.0
_PAUSE_AFTER_FAILURE_S = 0.1
_BOX_PIXELS = 1.0
_SCORE = 0.01

Objects = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Response:
    """One request's end.

    Attributes:
        asked_at, answered_at: monotonic seconds.
        status: HTTP status; 0 where the connection was cut or refused, -1 where nothing came in `HUNG_S`.
        is_wrong: a 200 with other objects than before.
    """

    asked_at: float
    answered_at: float
    status: int
    is_wrong: bool = False


@dataclass
class Load:
    """Clients of one server.

    Args:
        url: of the gateway.
        images: encoded; each client sends them in turn.
        clients: how many ask at once.
    """

    url: str
    images: Sequence[bytes]
    clients: int = 4
    responses: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bodies = [{"image": base64.b64encode(image).decode(), "visualize": False} for image in self.images]
        with httpx.Client(base_url=self.url, timeout=HUNG_S) as client:
            self._expected = [_ask(client, body) for body in self._bodies]
        assert all(self._expected), "each image must show something"
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=[n]) for n in range(self.clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(HUNG_S + 5)

    def since(self, moment: float) -> list[Response]:
        """What ended after that moment, in order."""
        with self._lock:
            return sorted((r for r in self.responses if r.answered_at >= moment), key=lambda r: r.answered_at)

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self.url, timeout=HUNG_S) as client:
            while not self._ended.is_set():
                index = number % len(self._bodies)
                number += 1
                response = self._one(client, index)
                with self._lock:
                    self.responses.append(response)
                if response.status != 200:
                    self._ended.wait(_PAUSE_AFTER_FAILURE_S)

    def _one(self, client: httpx.Client, index: int) -> Response:
        asked_at = time.monotonic()
        try:
            reply = client.post("/small-object-detection", json=self._bodies[index])
        except httpx.TimeoutException:
            return Response(asked_at, time.monotonic(), -1)
        except httpx.TransportError:
            return Response(asked_at, time.monotonic(), 0)
        is_wrong = reply.status_code == 200 and not _same(
            reply.json()["result"]["detectedObjects"], self._expected[index]
        )
        return Response(asked_at, time.monotonic(), reply.status_code, is_wrong)


def drawn_images() -> list[bytes]:
    """Three images with objects, made from the bundled photograph."""
    from pathlib import Path

    street = cv2.imread(str(Path(__file__).parents[2] / "docs" / "street.jpg"))
    assert street is not None
    height, width = street.shape[:2]
    views = [street, street[:, ::-1], street[: height * 3 // 4, : width * 3 // 4]]
    return [cv2.imencode(".jpg", np.ascontiguousarray(view))[1].tobytes() for view in views]


def _ask(client: httpx.Client, body: dict[str, Any]) -> Objects:
    reply = client.post("/small-object-detection", json=body)
    assert reply.status_code == 200, reply.text
    objects: Objects = reply.json()["result"]["detectedObjects"]
    return objects


def _same(found: Objects, expected: Objects) -> bool:
    if len(found) != len(expected):
        return False
    return all(
        a["categoryId"] == b["categoryId"]
        and abs(a["score"] - b["score"]) <= _SCORE
        and max(abs(x - y) for x, y in zip(a["bbox"], b["bbox"], strict=True)) <= _BOX_PIXELS
        for a, b in zip(found, expected, strict=True)
    )

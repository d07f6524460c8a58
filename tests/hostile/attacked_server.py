"""A server under attack: what the attack costs it, and what a client beside it notices."""

import base64
import select
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.e2e.started_server import Serving, command_line

PATH = "/small-object-detection"
MIB = 2**20
STREET = Path(__file__).parents[2] / "docs" / "street.jpg"
_TIMEOUT_S = 120.0
_PAUSE_S = 0.2
_BOX_PIXELS = 1.0
_SCORE = 0.01

Objects = list[dict[str, Any]]


class AttackedServer:
    """A started server, and a small request with what it is answered when nothing else is asked.

    Args:
        serving: the server.
        image: in which the model finds something.
    """

    def __init__(self, serving: Serving, image: bytes) -> None:
        self.serving = serving
        self.small_request = {"image": base64.b64encode(image).decode(), "visualize": False}
        self.objects = [self.detect() for _ in range(8)][-1]  # each thread has worked
        assert self.objects

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        url = httpx.URL(self.serving.url)
        assert url.port is not None
        return url.host, url.port

    def post(self, body: bytes, content_type: str = "application/json", path: str = PATH) -> httpx.Response:
        """POST from a connection of its own."""
        with httpx.Client(base_url=self.serving.url, timeout=_TIMEOUT_S) as client:
            return client.post(path, content=body, headers={"Content-Type": content_type})

    def detect(self) -> Objects:
        """The response to the small request."""
        with httpx.Client(base_url=self.serving.url, timeout=_TIMEOUT_S) as client:
            response = client.post(PATH, json=self.small_request)
        assert response.status_code == 200, response.text
        objects: Objects = response.json()["result"]["detectedObjects"]
        return objects

    def readers(self) -> list[psutil.Process]:
        """The processes that read what clients send: the gateway's, and the stage that decodes images."""
        gateway = self.serving.child("-m gateway")
        stages = [p for p in self.serving.children() if "/preprocess_640/" in command_line(p)]
        assert stages
        return [gateway, *gateway.children(recursive=True), *stages]

    @contextmanager
    def attacked(self, *, cpu_s: float, memory_mib: float) -> Iterator[None]:
        """Attack the server in the block, with a client beside it that sends the small request.

        Args:
            cpu_s: processor time that the processes may need together, the client's requests included.
            memory_mib: by how much they may grow together at their peaks.

        Raises:
            AssertionError: They need more, one of them was replaced, or the client had another response than alone.
        """
        processes = self.readers()
        time_before = sum(map(_cpu_s, processes))
        memory_before = {process: process.memory_info().rss for process in processes}
        for process in processes:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # its peak is what it has now
        with _Beside(self) as beside:
            yield
        assert beside.found, "the small request had no response"
        for found in beside.found:
            assert same_objects(found, self.objects)
        assert self.readers() == processes
        growth = sum(_peak(process) - memory_before[process] for process in processes) / MIB
        seconds = sum(map(_cpu_s, processes)) - time_before
        print(f"{seconds:.2f} s, {growth:.0f} MiB, {len(beside.found)} small requests")
        assert seconds < cpu_s
        assert growth < memory_mib

    def exchange(self, pieces: Iterable[bytes], *, closes: bool = False) -> tuple[bytes, int]:
        """Send over a connection of its own until all is sent or something is received; then read to the end.

        Args:
            pieces: what is sent.
            closes: the sending side once all is sent.

        Returns:
            What was received, and the number of bytes sent.
        """
        sent = 0
        with socket.create_connection(self.address, timeout=_TIMEOUT_S) as connection:
            for piece in pieces:
                rest = memoryview(piece)
                connection.setblocking(False)
                while rest:
                    readable, _, _ = select.select([connection], [connection], [], _TIMEOUT_S)
                    if readable:
                        break
                    count = connection.send(rest)
                    sent, rest = sent + count, rest[count:]
                if rest:
                    break
            connection.settimeout(_TIMEOUT_S)
            if closes:
                connection.shutdown(socket.SHUT_WR)
            received = bytearray()
            with suppress(ConnectionResetError):  # what was received before stays
                while data := connection.recv(65536):
                    received += data
            return bytes(received), sent


class _Beside:
    """A client that sends the small request, at least once, until the block ends."""

    def __init__(self, server: AttackedServer) -> None:
        self.found: list[Objects] = []
        self._server = server
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "_Beside":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def _run(self) -> None:
        try:
            self.found.append(self._server.detect())
            while not self._ended.wait(_PAUSE_S):
                self.found.append(self._server.detect())
        except BaseException as error:
            self._error = error


def same_objects(found: Objects, expected: Objects) -> bool:
    """Whether two responses have the same objects; batches of other sizes differ in the last digits."""
    return len(found) == len(expected) and all(
        a["categoryId"] == b["categoryId"]
        and abs(a["score"] - b["score"]) <= _SCORE
        and max(abs(x - y) for x, y in zip(a["bbox"], b["bbox"], strict=True)) <= _BOX_PIXELS
        for a, b in zip(found, expected, strict=True)
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak(process: psutil.Process) -> int:
    """Bytes."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{process} has no VmHWM")

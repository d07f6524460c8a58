"""An RTSP server (RFC 2326) that plays H.264 over TCP (RFC 6184), with basic authentication; no library has one."""

import base64
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

_MTU = 1400


class RtspServer:
    """Plays pictures endlessly, at a rate, to every client.

    Args:
        pictures: gives the picture of each frame, uint8 [H, W, 3] RGB.
        rate: frames in a second.
        port: 0 is a free one.
        credentials: `user:password` that a client must send, or None.

    Attributes:
        stalled: while set, clients stay connected and receive nothing.
    """

    def __init__(
        self,
        pictures: Callable[[int], NDArray[np.uint8]],
        rate: float,
        *,
        port: int = 0,
        credentials: str | None = None,
    ) -> None:
        self._pictures, self._rate, self._credentials = pictures, rate, credentials
        self.stalled = threading.Event()
        self._closed = threading.Event()
        self._clients: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port = self._socket.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/street"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it, as if it were killed: all connections break off."""
        self._closed.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in self._clients:
            with suppress(OSError):  # it has gone
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        file = client.makefile("rb")
        try:
            while line := file.readline():
                if line.startswith(b"$"):  # RTCP of the client, between the requests
                    continue
                method, headers = line.split()[0].decode(errors="replace"), {}
                while (header := file.readline().strip()) != b"":
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                self._answer(client, method, headers)
                if method == "PLAY":
                    threading.Thread(target=self._drain, args=(file,), daemon=True).start()
                    self._play(client)
                    return
        except (OSError, ValueError):
            pass

    def _drain(self, file: object) -> None:
        try:
            while file.read(1):  # type: ignore[attr-defined]
                pass
        except (OSError, ValueError):
            pass

    def _answer(self, client: socket.socket, method: str, headers: dict[str, str]) -> None:
        wanted = self._credentials and f"Basic {base64.b64encode(self._credentials.encode()).decode()}"
        status, more, body = "200 OK", "Session: 1\r\n", ""
        if wanted and method != "OPTIONS" and headers.get("authorization") != wanted:
            status, more = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
        elif method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=street\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
                "a=control:track\r\n"
            )
            more = "Content-Type: application/sdp\r\n"
        elif method == "SETUP":
            more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        client.sendall(f"RTSP/1.0 {status}\r\nCSeq: {headers.get('cseq')}\r\n{more}{length}\r\n{body}".encode())

    def _play(self, client: socket.socket) -> None:
        encoder = av.CodecContext.create("libx264", "w")
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5", "x264-params": "repeat-headers=1:annexb=1"}
        encoder.options = options
        encoder.height, encoder.width = self._pictures(0).shape[:2]
        encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 90_000), Fraction(25)
        sequence, frame, began = random.randrange(1000), 0, time.monotonic()
        while not self._closed.is_set():
            time.sleep(max(0.0, began + frame / self._rate - time.monotonic()))
            while self.stalled.is_set() and not self._closed.is_set():
                time.sleep(0.02)
            picture = av.VideoFrame.from_ndarray(self._pictures(frame), format="rgb24")
            picture.pts = round(90_000 * frame / self._rate)
            for packet in encoder.encode(picture):
                units = [unit for unit in bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
                for unit in units:
                    for payload, is_last in _fragments(unit):
                        mark = 0x80 if is_last and unit is units[-1] else 0
                        head = struct.pack(">BBHII", 0x80, mark | 96, sequence % 2**16, (packet.pts or 0) % 2**32, 7)
                        client.sendall(struct.pack(">cBH", b"$", 0, 12 + len(payload)) + head + payload)
                        sequence += 1
            frame += 1


def _fragments(unit: bytes) -> list[tuple[bytes, bool]]:
    """A NAL unit as one packet, or as fragments FU-A; each with whether it is the last."""
    if len(unit) <= _MTU:
        return [(unit, True)]
    parts = [unit[k : k + _MTU] for k in range(1, len(unit), _MTU)]
    indicator, kind = (unit[0] & 0xE0) | 28, unit[0] & 0x1F
    return [
        (bytes([indicator, (k == 0) << 7 | (k == len(parts) - 1) << 6 | kind]) + part, k == len(parts) - 1)
        for k, part in enumerate(parts)
    ]

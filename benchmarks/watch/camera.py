"""Plays a video as an endless stream over HTTP (MPEG-TS), again and again, at a multiple of its speed.

Arguments: port of 127.0.0.1, video, frames in a second, number of frames. It serves one client, and writes the seconds
that it took to stdout.
"""

import socket
import sys
import time
from fractions import Fraction

import av

_CLOCK = 90_000
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n"


class _Client:
    """What PyAV writes to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> int:
        self._connection.sendall(data)
        return len(data)


def serve(port: int, path: str, rate: float, count: int) -> float:
    """Wait for a client, and send it so many frames; returns the seconds that they took."""
    with socket.create_server(("127.0.0.1", port)) as server:
        connection, _ = server.accept()
    with connection:
        connection.recv(65536)  # the request
        connection.sendall(_HEAD)
        began, sent = time.perf_counter(), 0
        with av.open(_Client(connection), "w", format="mpegts", options={"flush_packets": "1"}) as output:
            stream = None
            while sent < count:
                with av.open(path) as video:
                    source = video.streams.video[0]
                    if stream is None:
                        stream = output.add_stream_from_template(source)
                    for packet in video.demux(source):
                        if packet.dts is None or sent == count:
                            break
                        packet.stream, packet.time_base = stream, Fraction(1, _CLOCK)
                        packet.pts = packet.dts = round(_CLOCK * sent / rate)  # the video has no B frames
                        time.sleep(max(0.0, began + sent / rate - time.perf_counter()))
                        output.mux(packet)
                        sent += 1
        return time.perf_counter() - began


if __name__ == "__main__":
    print(serve(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))

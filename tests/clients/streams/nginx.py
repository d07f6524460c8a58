"""Debian's nginx as an RTMP server that also gives HLS, and a camera that sends its pictures there."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import httpx
import numpy as np
from numpy.typing import NDArray

from server.launching import free_ports

# From Debian's libnginx-mod-rtmp. nginx of another distribution may have it elsewhere.
_MODULE = next(Path("/usr").glob("lib*/nginx/modules/ngx_rtmp_module.so"), None)
_PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
MISSING = (
    None
    if _MODULE and _PROGRAM
    else "nginx with RTMP is not here: apt-get install $(cat tests/clients/debian-packages)"
)
SEGMENT_S = 1
_CONFIGURATION = """
load_module {module};
daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 64; }}
rtmp {{
    server {{
        listen 127.0.0.1:{rtmp};
        application live {{
            live on;
            hls on;
            hls_path hls;
            hls_fragment {segment}s;
            hls_playlist_length {window}s;
        }}
    }}
}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{http};
        root hls;
        types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
    }}
}}
"""


class Nginx:
    """A server of one process, which keeps its segments when it is started again.

    Args:
        folder: for its configuration, log and segments.

    Attributes:
        rtmp: where the stream is sent and played.
        hls: where the same is played over HTTP.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rtmp, self._http = free_ports(2)
        self.rtmp = f"rtmp://127.0.0.1:{self._rtmp}/live/street"
        self.hls = f"http://127.0.0.1:{self._http}/street.m3u8"
        (folder / "hls").mkdir()
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                module=_MODULE, rtmp=self._rtmp, http=self._http, segment=SEGMENT_S, window=6 * SEGMENT_S
            )
        )
        self.start()

    def start(self) -> None:
        """Returns when it accepts connections."""
        assert _PROGRAM
        command = [_PROGRAM, "-p", self._folder, "-c", "nginx.conf", "-e", "error.log"]
        self.process = subprocess.Popen(command, cwd=self._folder)  # hls_path is relative to it
        self._wait_for(lambda: self._status("/") is not None)

    def kill(self) -> None:
        """End it at once, also if it is stopped."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait_for_segments(self, count: int) -> None:
        """Until so many segments can be played."""
        self._wait_for(lambda: len(list((self._folder / "hls").glob("*.ts"))) > count)  # one is being written

    def _status(self, path: str) -> int | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self._http}{path}", timeout=5).status_code
        except httpx.TransportError:
            return None

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert self.process.poll() is None, (self._folder / "error.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)


class Camera:
    """Sends pictures to an RTMP server, 50 in a second and a key frame in each second, until it is closed or cannot.

    Args:
        url: the stream.
        pictures: gives the picture of each frame, uint8 [H, W, 3] RGB.
    """

    def __init__(self, url: str, pictures: Callable[[int], NDArray[np.uint8]]) -> None:
        self._url, self._pictures = url, pictures
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the stream."""
        self._closed.set()
        self._thread.join(10)

    def _send(self) -> None:
        try:
            with av.open(self._url, "w", format="flv", timeout=10) as output:
                options = {"preset": "ultrafast", "tune": "zerolatency", "g": "50"}
                stream = output.add_stream("libx264", rate=50, options=options)
                stream.height, stream.width = self._pictures(0).shape[:2]
                stream.pix_fmt = "yuv420p"
                number, began = 0, time.monotonic()
                while not self._closed.wait(max(0.0, began + number / 50 - time.monotonic())):
                    frame = av.VideoFrame.from_ndarray(self._pictures(number), format="rgb24")
                    output.mux(stream.encode(frame))
                    number += 1
        except (av.error.FFmpegError, OSError):
            pass  # the server has gone

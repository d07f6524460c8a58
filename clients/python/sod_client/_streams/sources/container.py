"""Opens videos with PyAV (FFmpeg), and says in one sentence why one cannot be opened."""

import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sod_client._inputs.paths import check_exists
from sod_client._optional import require
from sod_client._streams.sources.address import Address
from sod_client.errors import MissingFileError, SodError, UnreadableFileError

OPEN_TIMEOUT_S = 10.0
_INSTALL = "av numpy"
_PLAYLIST_STALL_S = 15.0
"""HLS sends segments of 2 to 10 s, each when it is complete: for so long nothing may come of a healthy stream."""
_REMEMBERED = 4000  # packets: the three segments of 10 s with which a connection begins, and some more
Seen = deque[tuple[int | None, int]]
"""The last packets of a stream: time stamp and checksum."""


def nothing_seen() -> Seen:
    """For the first connection to a stream."""
    return deque(maxlen=_REMEMBERED)


class Video:
    """An open video.

    Attributes:
        is_live: whether it has no end that is known before: a camera or a stream.
        rate: frames in a second on average, as the video says; 25 if it does not.
        comes_in_segments: whether frames arrive many at once, seconds after they were recorded: HLS.
        stall_s: seconds without data after which a read fails.

    Args:
        address: the video.
        stall_s: the least that `stall_s` can be.
        seen: what earlier connections to a stream received; such a server plays the last segments once more.

    Raises:
        SodError: it cannot be opened, or has no video stream.
    """

    def __init__(self, address: Address, stall_s: float, seen: Seen | None = None) -> None:
        self._av = load()
        self.stall_s = max(stall_s, _PLAYLIST_STALL_S) if _is_playlist(address) else stall_s
        self._seen = nothing_seen() if seen is None else seen
        try:
            self._container = self._open(address)
        except SodError:
            raise
        except self._av.error.FFmpegError as error:
            raise describe(error, address) from error
        except (OSError, ValueError) as error:
            raise UnreadableFileError(f"the video cannot be opened: {error}") from error
        if not self._container.streams.video:
            self._container.close()
            raise UnreadableFileError("there is no video in it, only sound or other data")
        self._stream = self._container.streams.video[0]
        self.is_live = address.is_always_live or (address.kind == "url" and self._container.duration is None)
        self.comes_in_segments = self.is_live and self._container.format.name == "hls"
        # Threads that decode one frame each would delay a live frame by as many frames.
        self._stream.thread_type = "SLICE" if self.is_live else "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate else 25.0
        self.corrupt = 0

    def seek(self, seconds: float) -> None:
        """Go on from the last key frame before a time since the start; an unseekable video is read from its start."""
        first = self._container.start_time or 0  # microseconds
        with suppress(self._av.error.FFmpegError):
            self._container.seek(first + int(seconds * 1e6))

    def frames(self) -> Iterator[tuple[Any, float | None]]:
        """Every frame, and its time in seconds since the video's start, None if the video does not say.

        A packet that cannot be decoded is left out and counted in `corrupt`. What an earlier connection received is
        decoded, since what follows may refer to it, and left out.

        Raises:
            FFmpegError: the video cannot be read on.
        """
        base = self._stream.time_base
        first = self._stream.start_time or 0
        repeated = frozenset(self._seen)
        for packet in self._container.demux(self._stream):
            is_repeated = False
            if self.comes_in_segments:
                key = packet.pts, zlib.crc32(packet)
                is_repeated = key in repeated
                self._seen.append(key)
            try:
                decoded = packet.decode()
            except self._av.error.InvalidDataError:
                self.corrupt += 1
                continue
            except self._av.error.EOFError:
                return
            for frame in () if is_repeated else decoded:
                pts = frame.pts
                yield frame, None if pts is None or base is None else float((pts - first) * base)

    def close(self) -> None:
        """Close the file or connection."""
        self._container.close()

    def _open(self, address: Address) -> Any:
        if address.kind == "device":
            return self._av.open(address.target, format="v4l2", timeout=(OPEN_TIMEOUT_S, self.stall_s))
        if address.kind == "file":
            check_exists(address.target)
            return self._av.open(f"file:{address.target}")  # a name may contain colons
        options = {"fflags": "nobuffer", "analyzeduration": "2000000"} if address.is_always_live else {}
        stall_s = self.stall_s
        if address.target.lower().startswith("rtmp"):
            # FFmpeg analyses RTMP for as long as it may. `nobuffer` would drop what it analysed, and the first picture
            # be the next key frame: 9 s after the connection with one every 6 s, in place of 3.
            options = {"analyzeduration": "1000000"}
        elif _is_playlist(address):
            options = {"analyzeduration": "2000000"}
        if address.target.lower().startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # packets that UDP loses become grey smears
            stall_s /= 2  # FFmpeg's RTSP waits twice: measured 4.0 s with 2 s
        return self._av.open(address.target, options=options, timeout=(OPEN_TIMEOUT_S, stall_s))


def _is_playlist(address: Address) -> bool:
    return address.kind == "url" and address.suffix == ".m3u8"


def load() -> Any:
    """PyAV.

    Raises:
        DependencyError: it is not installed.
    """
    require("numpy", "watching a video", _INSTALL)
    return require("av", "watching a video", _INSTALL)


def describe(error: Exception, address: Address) -> SodError:
    """The error as a sentence."""
    av = load()
    reason = getattr(error, "strerror", None) or str(error)
    if address.kind == "device":
        found = sorted(str(path) for path in Path("/dev").glob("video*"))
        if isinstance(error, FileNotFoundError):
            return MissingFileError(f"no such device: {address.target}; this machine has {', '.join(found) or 'none'}")
        return UnreadableFileError(f"the device {address.target} cannot be opened: {reason}")
    protocol = address.target.partition(":")[0].lower()
    sentences = (
        (
            (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
            "the host refused the user name or password (rtsp://USER:PASSWORD@HOST/…)",
        ),
        (av.error.HTTPNotFoundError, "the host has no such stream (404)"),
        (av.error.ConnectionRefusedError, "the host refused the connection: nothing listens at this port"),
        (
            av.error.ProtocolNotFoundError,
            f"this PyAV has no {protocol}: one that is built on an FFmpeg with it is needed",
        ),
        ((av.error.ExitError, av.error.TimeoutError), f"the host did not respond within {OPEN_TIMEOUT_S:g} s"),
        (av.error.InvalidDataError, "this is not a video, or it is damaged: FFmpeg finds no format in it"),
    )
    for kinds, sentence in sentences:
        if isinstance(error, kinds):
            return UnreadableFileError(sentence)
    if protocol.startswith("rtmp"):  # its errors are all EIO or the end of the connection
        return UnreadableFileError(
            "the host plays no such stream: its application or name is unknown, nobody sends it now, or it is not RTMP"
        )
    return UnreadableFileError(f"the video cannot be opened: {reason}")

"""Writes annotated frames as H.264 in MP4 or Matroska, readable up to the last fragment whenever the process ends."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sod_client._streams.outputs.files import Segments
from sod_client._streams.sources.container import load

_CLOCK = 90_000  # ticks in a second
_KEY_FRAMES_S = 2.0  # a fragment begins with a key frame, so that a kill loses about so many seconds
# Without B frames: their timestamps would begin later than the source's, which a fragmented file cannot correct.
# The encoder holds two frames back rather than x264's eleven and more, which a kill would lose: at one frame a
# second, eleven seconds. With so short a look ahead, crf 19 gives the size and quality of x264's 23.
_LATENCY = "rc-lookahead=1:sync-lookahead=0:sliced-threads=1"
_CODEC_OPTIONS = {"preset": "veryfast", "crf": "19", "bf": "0", "x264-params": _LATENCY}


class VideoWriter:
    """Writes one source's video, without sound. A frame of another size begins a new file.

    Args:
        path: `.mp4` or `.mkv`; an existing file is replaced.
        segment_s: seconds of a file; None for one file.
    """

    def __init__(self, path: Path, segment_s: float | None) -> None:
        self._av = load()
        self._segments, self._path = Segments(path, segment_s), path
        self._size: tuple[int, int] | None = None
        self._container: Any = None
        self._stream: Any = None
        self._last = -1
        self._first = 0.0
        self._key_due = 0.0

    def write(self, image: Image.Image, moment: float) -> None:
        """Add a frame.

        Args:
            image: RGB.
            moment: seconds of the source.

        Raises:
            OSError: the file cannot be written.
        """
        try:
            if self._segments.is_over(moment) or image.size != self._size:
                self.close()
                self._begin(image.size, moment)
            # from_image() copies row by row.
            frame = self._av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            self._last = max(self._last + 1, round((moment - self._first) * _CLOCK))
            frame.pts, frame.time_base = self._last, Fraction(1, _CLOCK)
            if moment >= self._key_due:
                self._key_due = moment + _KEY_FRAMES_S
                frame.pict_type = self._av.video.frame.PictureType.I
            self._container.mux(self._stream.encode(frame))
        except self._av.error.FFmpegError as error:
            self._abandon()
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        except OSError:
            self._abandon()
            raise

    def close(self) -> None:
        """Write what is still in the encoder, and end the file.

        Raises:
            OSError: the file cannot be written.
        """
        if self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None
        except self._av.error.FFmpegError as error:
            self._abandon()
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def _begin(self, size: tuple[int, int], moment: float) -> None:
        path = self._path = self._segments.begin(moment)
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        container = self._av.open(
            f"file:{path}", "w", format="matroska" if path.suffix.lower() == ".mkv" else "mp4", options=options
        )
        stream = container.add_stream("libx264", rate=25, options=_CODEC_OPTIONS)
        # H.264's usual pixel format has half of the resolution in colour, so a side of odd length gets one pixel more.
        stream.width, stream.height = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        stream.codec_context.gop_size = 10_000  # key frames come by time, whatever the frame rate is
        self._container, self._stream, self._size = container, stream, size
        self._first, self._last, self._key_due = moment, -1, moment

    def _abandon(self) -> None:
        """Close the file after an error; what was written before it stays."""
        container, self._container = self._container, None
        if container is not None:
            with suppress(Exception):
                container.close()

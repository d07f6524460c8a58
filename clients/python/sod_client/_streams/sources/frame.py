"""One frame of a stream, which is converted to an image only when it is sent or drawn."""

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from sod_client._inputs.items import Item

QUALITY = 95
"""JPEG quality of the frames that are sent; the chroma has half the resolution, as in nearly all videos."""
_PLANAR = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"}
"""Pixel formats whose first plane is the brightness in 8 bits."""
_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


@dataclass(frozen=True)
class VideoFrame(Item):
    """A decoded frame of a video.

    Attributes:
        decoded_frame: an `av.VideoFrame` of any pixel format.
    """

    decoded_frame: Any = None

    @cached_property
    def _image(self) -> Image.Image:
        # 8 bits RGB, also from 10 bits and from grey. PyAV's own to_image() copies row by row: 4.5 ms in place of 1.3.
        return self._upright(Image.fromarray(self.decoded_frame.to_ndarray(format="rgb24")))

    def _upright(self, image: Image.Image) -> Image.Image:
        turn = _TURNS.get(round(self.decoded_frame.rotation) % 360)  # degrees counterclockwise, of the file's metadata
        return image if turn is None else image.transpose(turn)

    def grey(self) -> Image.Image:
        """The brightness of the frame, 8 bits and upright; of most videos a plane that needs no conversion."""
        frame = self.decoded_frame
        if frame.format.name not in _PLANAR:
            return self._upright(Image.fromarray(frame.to_ndarray(format="gray")))
        size, plane = (frame.width, frame.height), frame.planes[0]
        return self._upright(Image.frombuffer("L", size, plane, "raw", "L", plane.line_size, 1))

    def encoded(self) -> bytes:
        """The frame as JPEG of `QUALITY`."""
        buffer = io.BytesIO()
        self._image.save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0")
        return buffer.getvalue()

    def decoded(self) -> Image.Image:
        """The frame, RGB and upright. Drawing on it would change what other callers receive."""
        return self._image


@dataclass(frozen=True)
class Frame:
    """One frame, and when it was.

    Attributes:
        item: the image.
        index: its number in the source, from 0; of a live source the number since its start, dropped frames included.
        time: seconds since the source's start: the timestamp of a file, and of a live source nearly the wall clock.
        received: Unix time at which it was decoded.
        gap: seconds without a frame before it, if the source was connected again; otherwise 0.
    """

    item: Item
    index: int
    time: float
    received: float
    gap: float = 0.0

"""The request's `image`, base64 or URL, to the bytes of a picture that is worth decoding."""

import binascii
import re

from gateway.errors import InputError, TooManyBytesError
from gateway.fetch import PictureFetcher
from gateway.workers import Workers
from sod.errors import ImageTooLargeError, InvalidImageError
from sod.image import check_image

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
_DATA_URL = re.compile(r"\s*data:[^,]*?;base64\s*,", re.IGNORECASE)
_WANTED = "send the picture's base64, or its http(s) URL"


class PictureInput:
    """Reads what a request calls its image."""

    def __init__(self, fetcher: PictureFetcher, workers: Workers, *, max_bytes: int, max_pixels: int) -> None:
        self._fetcher = fetcher
        self._workers = workers
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels

    async def read(self, image: str) -> bytes:
        """The encoded picture: fetched or decoded from base64, its header read and found within the limits.

        Raises:
            InputError: there is no such picture; the text says why.
            InvalidImageError: it is not a picture, or has too many pixels.
            TooManyBytesError: it is longer than the limit.
        """
        scheme = _SCHEME.match(image)
        name = scheme[1].lower() if scheme else None
        if name in ("http", "https"):
            picture = await self._fetcher.fetch(image.strip())
            await self._workers.run(self._check_fetched, picture)
            return picture
        if name is not None and not _DATA_URL.match(image):
            if name == "data":
                raise InputError(f"`image` is a data: URL without base64: {_WANTED}")
            raise InputError(f"`image` has the scheme {name[:20]!r}, which is not fetched: {_WANTED}")
        return await self._workers.run(self._decode, image)

    def _decode(self, image: str) -> bytes:
        picture = decode_base64(image)
        if len(picture) > self._max_bytes:
            raise TooManyBytesError(f"The picture has {len(picture):,} bytes; the limit is {self._max_bytes:,}")
        check_image(picture, self._max_pixels)
        return picture

    def _check_fetched(self, picture: bytes) -> None:
        try:
            check_image(picture, self._max_pixels)
        except ImageTooLargeError:
            raise
        except InvalidImageError as error:
            raise InputError(f"What the image URL leads to is not a picture: {error}") from error


def decode_base64(text: str) -> bytes:
    """Decode base64, bare or in a `data:` URL, wrapped into lines or not.

    Raises:
        InputError: it is none, or empty.
    """
    if prefix := _DATA_URL.match(text):
        text = text[prefix.end() :]
    if not text or text.isspace():
        raise InputError(f"`image` is empty: {_WANTED}")
    try:
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            # `base64 picture.jpg` wraps its lines; PaddleX takes that, and so do we.
            return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        reason = str(error)
        raise InputError(f"`image` is not valid base64 ({reason[0].lower()}{reason[1:]}): {_WANTED}") from None

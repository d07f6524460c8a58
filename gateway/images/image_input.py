"""The request's `image`, bytes, base64 or URL, to an encoded image that is worth decoding."""

import binascii
import re
from dataclasses import dataclass

import pybase64

from gateway.errors import InputError, TooManyBytesError
from gateway.images.fetch import ImageFetcher
from gateway.limits.workers import Workers
from gateway.observability.request_context import stage
from sod.errors import ImageTooLargeError, InvalidImageError
from sod.frame import shown_size
from sod.image import check_image

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
_DATA_URL = re.compile(r"\s*data:[^,]*?;base64\s*,", re.IGNORECASE)
_WANTED = "send the image's base64, or its http(s) URL"


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An encoded image whose header was read; size in pixels as shown, EXIF rotation applied."""

    data: bytes
    width: int
    height: int


class ImageInput:
    """Reads what a request calls its image."""

    def __init__(self, fetcher: ImageFetcher, workers: Workers, *, max_bytes: int, max_pixels: int) -> None:
        self._fetcher = fetcher
        self._workers = workers
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels

    async def read(self, image: str | bytes) -> EncodedImage:
        """The encoded image: as it is, fetched or decoded from base64; its header is within the limits.

        Args:
            image: An encoded image, or a string of its base64 or URL.

        Raises:
            InputError: there is no such image; the text says why.
            InvalidImageError: it is not an image, or has too many pixels.
            TooManyBytesError: it is longer than the limit.
        """
        if isinstance(image, bytes):
            with stage("parse"):
                return await self._workers.run(self._check, image)
        scheme = _SCHEME.match(image)
        name = scheme[1].lower() if scheme else None
        if name in ("http", "https"):
            with stage("fetch"):
                fetched = await self._fetcher.fetch(image.strip())
            with stage("parse"):
                return await self._workers.run(self._check_fetched, fetched)
        if name is not None and not _DATA_URL.match(image):
            if name == "data":
                raise InputError(f"`image` is a data: URL without base64: {_WANTED}")
            raise InputError(f"`image` has the scheme {name[:20]!r}, which is not fetched: {_WANTED}")
        with stage("parse"):
            return await self._workers.run(self._decode, image)

    def _decode(self, image: str) -> EncodedImage:
        return self._check(decode_base64(image))

    def _check(self, data: bytes) -> EncodedImage:
        if len(data) > self._max_bytes:
            raise TooManyBytesError(f"The image has {len(data):,} bytes; the limit is {self._max_bytes:,}")
        check_image(data, self._max_pixels)
        return EncodedImage(data, *shown_size(data))

    def _check_fetched(self, data: bytes) -> EncodedImage:
        try:
            return self._check(data)
        except ImageTooLargeError:
            raise
        except InvalidImageError as error:
            raise InputError(f"What the image URL leads to is not an image: {error}") from error


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
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        # `base64 image.jpg` wraps its lines; PaddleX takes that, and so do we.
        return _decode_unwrapped("".join(text.split()))


def _decode_unwrapped(text: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass
    # The slow decoder takes padding after the last whole group too, and says what is wrong.
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        reason = str(error)
        raise InputError(f"`image` is not valid base64 ({reason[0].lower()}{reason[1:]}): {_WANTED}") from None

"""From a request's `image` (bytes, base64 or URL) to an encoded image within the limits."""

import binascii
import re
from dataclasses import dataclass

import pybase64

from gateway.errors import InputError, TooManyBytesError
from gateway.images.fetch import ImageFetcher
from gateway.limits.workers import Workers
from gateway.observability import metrics
from gateway.observability.request_context import stage
from sod.errors import ImageTooLargeError, InvalidImageError
from sod.formats.image_structure import StructureLimits
from sod.image import ImageHeader, check_image

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
_DATA_URL = re.compile(r"\s*data:[^,]*?;base64\s*,", re.IGNORECASE)
_WANTED = "send the image's base64, or its http(s) URL"


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An encoded image whose header has been read and is within the limits.

    Attributes:
        data: The encoded bytes.
        header: Format, size and orientation.
    """

    data: bytes
    header: ImageHeader

    @property
    def width(self) -> int:
        """Width in pixels, EXIF rotation applied."""
        return self.header.shown_size[0]

    @property
    def height(self) -> int:
        """Height in pixels, EXIF rotation applied."""
        return self.header.shown_size[1]


class ImageInput:
    """Resolves the `image` of a request."""

    def __init__(self, fetcher: ImageFetcher, workers: Workers, *, max_bytes: int, limits: StructureLimits) -> None:
        self._fetcher = fetcher
        self._workers = workers
        self._max_bytes = max_bytes
        self._limits = limits

    async def read(self, image: str | bytes) -> EncodedImage:
        """Fetch the image, or decode its base64, and check its header against the limits.

        Args:
            image: An encoded image, or a string with its base64 or URL.

        Raises:
            InputError: The image is not available; the text says why.
            InvalidImageError: The data is not an image, or the image has too many pixels.
            TooManyBytesError: The image is larger than the limit.
        """
        if isinstance(image, bytes):
            with stage("parse"):
                return await self._workers.run(self._check, image)
        match = _SCHEME.match(image)
        scheme = match[1].lower() if match else None
        if scheme in ("http", "https"):
            fetched = await self._fetcher.fetch(image.strip())
            with stage("parse"):
                return await self._workers.run(self._check_fetched, fetched)
        if scheme is not None and not _DATA_URL.match(image):
            if scheme == "data":
                raise InputError(f"`image` is a data: URL without base64: {_WANTED}")
            raise InputError(f"`image` has the scheme {scheme[:20]!r}, which is not fetched: {_WANTED}")
        with stage("parse"):
            return await self._workers.run(self._decode, image)

    def _decode(self, image: str) -> EncodedImage:
        return self._check(decode_base64(image))

    def _check(self, data: bytes) -> EncodedImage:
        if len(data) > self._max_bytes:
            metrics.record_rejection("image_bytes")
            raise TooManyBytesError(f"The image has {len(data):,} bytes; the limit is {self._max_bytes:,}")
        try:
            return EncodedImage(data, check_image(data, self._limits))
        except InvalidImageError as error:
            metrics.record_rejection(error.reason)
            raise

    def _check_fetched(self, data: bytes) -> EncodedImage:
        try:
            return self._check(data)
        except ImageTooLargeError:
            raise
        except InvalidImageError as error:
            raise InputError(f"What the image URL leads to is not an image: {error}") from error


def decode_base64(text: str) -> bytes:
    """Decode base64 with or without a `data:` prefix, line breaks and superfluous padding.

    Raises:
        InputError: The text is empty or not base64.
    """
    if prefix := _DATA_URL.match(text):
        text = text[prefix.end() :]
    if not text or text.isspace():
        raise InputError(f"`image` is empty: {_WANTED}")
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        # `base64 image.jpg` wraps its lines; PaddleX accepts that too.
        return _decode_unwrapped("".join(text.split()))


def _decode_unwrapped(text: str) -> bytes:
    digits = text.rstrip("=")
    padding = -len(digits) % 4
    if digits and len(text) - len(digits) > padding:  # some clients append `=` always; PaddleX accepts that too
        text = digits + "=" * padding
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass
    # The slower decoder says what is wrong.
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        reason = str(error)
        raise InputError(f"`image` is not valid base64 ({reason[0].lower()}{reason[1:]}): {_WANTED}") from None

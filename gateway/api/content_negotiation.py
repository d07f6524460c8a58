"""`Accept`: whether the answer is the JSON document or the drawn image itself."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import NotAcceptableError
from sod.encode import ImageFormat

JSON = "application/json"
_SHOWN = 100


class _Range(NamedTuple):
    kind: str
    subtype: str
    quality: float


def accepted_format(accept: str, formats: Sequence[ImageFormat], why_not_others: str = "") -> ImageFormat | None:
    """The format of the image to answer with, or None for the JSON document.

    The highest `q` wins; among equals what is named more exactly, then JSON, then the first format. A header that fits
    nothing means JSON, as no header does: PaddleX never looked at it.

    Args:
        accept: The header, empty for none.
        formats: What the image can be had as.
        why_not_others: A clause for the error where `formats` are not all that there are.

    Raises:
        NotAcceptableError: it asks for images only, and for none of these formats.
    """
    if not accept or accept == "*/*":
        return None
    ranges = [one for part in accept.split(",") if (one := _range(part)) is not None]
    offers = [(JSON, None), *((f"image/{one}", one) for one in formats)]
    rated = [(_rate(media_type, ranges), image_format) for media_type, image_format in offers]
    (quality, _), best = max(rated, key=lambda one: one[0])  # the first of equals
    if quality > 0:
        return best
    if any(one.kind == "image" and one.quality > 0 for one in ranges):
        offered = " or ".join(media_type for media_type, _ in offers)
        reason = f", {why_not_others}" if why_not_others else ""
        raise NotAcceptableError(f"`Accept` is {accept[:_SHOWN]!a}; the answer can be had as {offered}{reason}")
    return None


def _rate(media_type: str, ranges: Sequence[_Range]) -> tuple[float, int]:
    """(q, exactness) of the most exact range that has the type."""
    kind, subtype = media_type.split("/")
    fitting = [
        ((one.kind != "*") + (one.subtype != "*"), one.quality)
        for one in ranges
        if one.kind in ("*", kind) and one.subtype in ("*", subtype)
    ]
    exactness, quality = max(fitting, default=(0, 0.0))
    return quality, exactness


def _range(part: str) -> _Range | None:
    """One of the header's ranges; None if it is not well-formed."""
    media_type, *parameters = (piece.strip() for piece in part.split(";"))
    kind, slash, subtype = media_type.lower().partition("/")
    if not kind or not slash or not subtype:
        return None
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
    # NaN compares false
    return _Range(kind, "jpeg" if subtype == "jpg" else subtype, quality) if 0 <= quality <= 1 else None

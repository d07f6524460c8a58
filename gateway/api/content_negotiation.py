"""Content negotiation: the `Accept` header selects the JSON document or the overlay itself as the response."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import NotAcceptableError
from sod.encode import ImageFormat

JSON = "application/json"
_MAX_SHOWN = 100


class _Range(NamedTuple):
    kind: str
    subtype: str
    quality: float


def accepted_format(accept: str, formats: Sequence[ImageFormat], reason: str = "") -> ImageFormat | None:
    """The image format of the response, or None for the JSON document.

    The range with the highest `q` wins; among equals the more specific one, then JSON, then the first format. A header
    that matches nothing selects JSON, as no header does, because PaddleX ignores `Accept`.

    Args:
        accept: The header, empty if there is none.
        formats: The available image formats.
        reason: A clause for the error that says why other formats are not available.

    Raises:
        NotAcceptableError: The header accepts images only, and none of these formats.
    """
    if not accept or accept == "*/*":
        return None
    ranges = [parsed for part in accept.split(",") if (parsed := _parse_range(part)) is not None]
    offers = [(JSON, None), *((f"image/{one}", one) for one in formats)]
    rated = [(_rate(media_type, ranges), image_format) for media_type, image_format in offers]
    (quality, _), best = max(rated, key=lambda rating: rating[0])  # the first among equals
    if quality > 0:
        return best
    if any(one.kind == "image" and one.quality > 0 for one in ranges):
        offered = " or ".join(media_type for media_type, _ in offers)
        clause = f", {reason}" if reason else ""
        raise NotAcceptableError(f"`Accept` is {accept[:_MAX_SHOWN]!a}; the response is available as {offered}{clause}")
    return None


def _rate(media_type: str, ranges: Sequence[_Range]) -> tuple[float, int]:
    """(q, specificity) of the most specific range that matches the media type."""
    kind, subtype = media_type.split("/")
    matching = [
        ((one.kind != "*") + (one.subtype != "*"), one.quality)
        for one in ranges
        if one.kind in ("*", kind) and one.subtype in ("*", subtype)
    ]
    specificity, quality = max(matching, default=(0, 0.0))
    return quality, specificity


def _parse_range(part: str) -> _Range | None:
    """A media range of the header; None if it is malformed."""
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
    # false for NaN
    return _Range(kind, "jpeg" if subtype == "jpg" else subtype, quality) if 0 <= quality <= 1 else None

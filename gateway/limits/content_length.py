"""The one parser of Content-Length."""

# Python refuses to convert thousands of digits, and a length of more than 18 digits exceeds every limit.
_MAX_DIGITS = 18


def parse_content_length(value: str | bytes | None) -> int | None:
    """The length in bytes that a header declares, at most 10**18; None if it is absent or malformed."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value or ""
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text) if len(text) <= _MAX_DIGITS else 10**_MAX_DIGITS

"""The exceptions that this package raises."""


class SodError(Exception):
    """Base class of all errors of the package; the text is meant for the person who sent the input."""


class InvalidImageError(SodError):
    """The bytes are not an image that can be decoded; the text says why, and what would be accepted.

    Attributes:
        reason: What was refused, as one word of a small set, for metrics.
    """

    reason = "invalid_image"


class ImageTooLargeError(InvalidImageError):
    """The image's header states more pixels than the limit allows."""

    reason = "pixels"


class AmbiguousImageError(InvalidImageError):
    """The file gives its size or layout twice, and readers differ in which one counts."""

    reason = "ambiguous"


class ImageTooComplexError(InvalidImageError):
    """The file has more scans, chunks, tags or metadata than decoding it may cost."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TaskTimeoutError(SodError):
    """Decoding or drawing an image took longer than it may."""


class ThreadsExhaustedError(Exception):
    """Every thread that decodes images is stuck; not the sender's fault."""

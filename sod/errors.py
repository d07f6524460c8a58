"""The exceptions that this package raises."""


class SodError(Exception):
    """Base class of all errors of the package; the text is meant for the person who sent the input."""


class InvalidImageError(SodError):
    """The bytes are not an image that can be decoded; the text says why, and what would be accepted."""


class ImageTooLargeError(InvalidImageError):
    """The image's header states more pixels than the limit allows."""


class ImageTooComplexError(InvalidImageError):
    """The file has more scans, chunks, tags or metadata than decoding it may cost."""


class TaskTimeoutError(SodError):
    """Decoding or drawing an image took longer than it may."""


class ThreadsExhaustedError(Exception):
    """Every thread that decodes images is stuck; not the sender's fault."""

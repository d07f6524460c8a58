"""The exceptions of this package."""


class SodError(Exception):
    """Base of every error the package raises; its text is meant for the person who sent the input."""


class InvalidImageError(SodError):
    """The bytes are not an image that can be decoded; the text says why and what would do."""


class ImageTooLargeError(InvalidImageError):
    """The image's header announces more pixels than the limit."""


class ImageTooComplexError(InvalidImageError):
    """The file has more scans, chunks, tags or metadata than decoding it may cost."""


class TaskTimeoutError(SodError):
    """Decoding or drawing an image took longer than it may."""


class ThreadsExhaustedError(Exception):
    """Every thread that decodes images is stuck; not the sender's fault."""

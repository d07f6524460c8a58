"""The exceptions of this package."""


class SodError(Exception):
    """Base of every error the package raises; its text is meant for the person who sent the input."""


class InvalidImageError(SodError):
    """The bytes are not a picture that can be decoded; the text says why and what would do."""


class ImageTooLargeError(InvalidImageError):
    """The picture's header announces more pixels than the limit."""

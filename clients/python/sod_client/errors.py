"""The exceptions of this package. The text of each is a sentence for the person who reads it.

SodError
├── InvalidInputError         the input was refused before anything was sent; also a ValueError
│   ├── MissingFileError      the file or folder does not exist; also a FileNotFoundError
│   ├── UnreadableFileError   the file cannot be read, or is empty
│   ├── NoImagesError         the folder contains no images
│   ├── UnreadablePDFError    the file is damaged or not a PDF
│   ├── EncryptedPDFError     the PDF requires a password
│   ├── InvalidArrayError     the array has no clear meaning as an image
│   ├── InvalidThresholdError the threshold is not a number from 0 to 1, or of an unknown class
│   ├── InvalidConfigError    a pipeline file or another setting is invalid
│   └── UnsupportedDeviceError the device does not exist or is not supported
├── DependencyError           a package must be installed; also an ImportError
├── LocalServerError          the local server did not start
├── ConnectionFailedError     the server did not respond: refused, interrupted, timed out
├── ServerError               the server answered an error
│   ├── AuthenticationError   401, 403: the API key is missing or wrong
│   └── ServerBusyError       429, 503, after all retries
├── BadReplyError             the response is not in the server's format
├── NoImageError              there is no image to show or save
└── NoGeoreferenceError       the image has no place on a map
"""

import json
from typing import TypeVar

_Error = TypeVar("_Error", bound="SodError")


class SodError(Exception):
    """Base of every error of this package. Only a result that cannot be written raises an OSError instead.

    Attributes:
        input_path: path or URL of the image that the error is about; `input[3]` for the fourth element of the input if
            it has neither; None if the error is not about an image.
        page_index: page of a PDF or frame of a TIFF, from 0; None otherwise.
    """

    input_path: str | None = None
    page_index: int | None = None

    def __str__(self) -> str:
        return self._location() + self.sentence

    @property
    def sentence(self) -> str:
        """The text without the name of the image."""
        return super().__str__()

    def _location(self) -> str:
        if self.input_path is None:
            return ""
        page = "" if self.page_index is None else f" (page {self.page_index})"
        return f"{self.input_path}{page}: "


def add_location(error: _Error, input_path: str | None, page_index: int | None = None) -> _Error:
    """Set the image that the error is about, unless it names one already; returns the error."""
    if error.input_path is None:
        error.input_path, error.page_index = input_path, page_index
    return error


class InvalidInputError(SodError, ValueError):
    """The input or an argument is invalid; nothing was sent."""


class MissingFileError(InvalidInputError, FileNotFoundError):
    """The file or folder does not exist."""


class UnreadableFileError(InvalidInputError):
    """The file cannot be read, it is empty, or its URL cannot be fetched."""


class NoImagesError(InvalidInputError):
    """The folder and its subfolders contain no image and no PDF."""


class UnreadablePDFError(InvalidInputError):
    """The file is not a PDF, or too damaged to render its pages."""


class EncryptedPDFError(InvalidInputError):
    """The PDF requires a password."""


class InvalidArrayError(InvalidInputError):
    """The array has no clear meaning as an image: another shape or dtype than `predict` takes."""


class InvalidThresholdError(InvalidInputError):
    """The threshold is neither a number from 0 to 1 nor a mapping of classes to such numbers, or a class is unknown."""


class InvalidConfigError(InvalidInputError):
    """The name, file or dict of a pipeline, an address or another setting is invalid."""


class UnsupportedDeviceError(InvalidInputError):
    """The device does not exist, or triton-sod does not support it."""


class DependencyError(SodError, ImportError):
    """A required package is not installed; the text names it."""


class LocalServerError(SodError):
    """The local server did not start; the text gives the reason."""


class ConnectionFailedError(SodError):
    """The server did not respond: unknown host, connection refused or interrupted, timeout."""


class BadReplyError(SodError):
    """The response is not in the server's format; it often comes from a proxy, or from a different server."""


class NoImageError(SodError):
    """The server sent no drawn image, and the source image is not available to draw on."""


class NoGeoreferenceError(SodError):
    """The image has no coordinate reference system, so its objects have no place on a map."""


class ServerError(SodError):
    """The server refused the request or failed to process it.

    Attributes:
        status: HTTP status; 4xx if the request is at fault.
        error_code: `errorCode` of the response, usually the same number.
        error_msg: `errorMsg` of the response, unchanged.
        log_id: `logId` of the response, which identifies the request in the server's log; None if there is none.
        hint: what the client adds to the text: which slice of an image failed, or what to do.
    """

    hint = ""

    def __init__(self, status: int, error_code: int, error_msg: str, log_id: str | None = None) -> None:
        super().__init__(status, error_code, error_msg, log_id)
        self.status = status
        self.error_code = error_code
        self.error_msg = error_msg
        self.log_id = log_id

    @property
    def sentence(self) -> str:
        """The text without the name of the image."""
        suffix = f" (logId {self.log_id})" if self.log_id else ""
        return f"the server answered {self.status}: {_readable(self.error_msg)}{suffix}{self.hint}"


class AuthenticationError(ServerError):
    """The server requires an API key (`api_key=`, or SOD_API_KEY), or refused this one."""


class ServerBusyError(ServerError):
    """The server was overloaded or not ready at every attempt."""


class SodWarning(UserWarning):
    """An argument has no effect."""


def _readable(message: str) -> str:
    """Format the `errorMsg` of a 422, which is a JSON list of findings; any other message is returned unchanged."""
    try:
        findings = json.loads(message)
        return "; ".join(f"{finding['loc']}: {finding['msg']}" for finding in findings) or message
    except (ValueError, TypeError, KeyError):
        return message

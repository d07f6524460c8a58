"""The exceptions of this package, one tree; the text of each is a sentence for the person at the keyboard.

SodError
├── InvalidInputError         refused before it was sent; also a ValueError
│   ├── MissingFileError      no such file or folder; also a FileNotFoundError
│   ├── UnreadableFileError   a file that cannot be read, or is empty
│   ├── NoImagesError       a folder without images
│   ├── UnreadablePDFError    a PDF that is damaged, or none
│   ├── EncryptedPDFError     a PDF that wants a password
│   ├── InvalidArrayError     an array that is no uint8 [H, W, 3]
│   ├── InvalidThresholdError a threshold outside 0 to 1, or none
│   ├── InvalidConfigError    a pipeline file or dict that does not fit
│   └── UnsupportedDeviceError a device that nothing here can drive
├── DependencyError           a package to install; also an ImportError
├── LocalServerError          the local server did not start
├── ConnectionFailedError     no answer: refused, broken off, timed out
├── ServerError               the server answered that it did not do it
│   ├── AuthenticationError   401, 403: the API key
│   └── ServerBusyError       429, 503, after the retries
├── BadReplyError             something answered, and not in the server's format
└── NoImageError              there is no image to show or save
"""

import json
from typing import TypeVar

_Error = TypeVar("_Error", bound="SodError")


class SodError(Exception):
    """Base of every error this package raises, but for the OSError of a file that cannot be written.

    Attributes:
        input_path: path or URL of the image that it is about, or `input[3]` for the fourth of the input's entries
            where it has none; None for what is about no image.
        page_index: page of a PDF or frame of a TIFF, from 0; None otherwise.
    """

    input_path: str | None = None
    page_index: int | None = None

    def __str__(self) -> str:
        return self._place() + self.sentence

    @property
    def sentence(self) -> str:
        """The text without the image's name before it."""
        return super().__str__()

    def _place(self) -> str:
        if self.input_path is None:
            return ""
        page = "" if self.page_index is None else f" (page {self.page_index})"
        return f"{self.input_path}{page}: "


def about(error: _Error, input_path: str | None, page_index: int | None = None) -> _Error:
    """The same error, with the name of the image in it unless it has one."""
    if error.input_path is None:
        error.input_path, error.page_index = input_path, page_index
    return error


class InvalidInputError(SodError, ValueError):
    """Something passed to this package that it does not take; nothing was sent."""


class MissingFileError(InvalidInputError, FileNotFoundError):
    """There is no such file or folder."""


class UnreadableFileError(InvalidInputError):
    """The file cannot be read, there is nothing in it, or its URL cannot be fetched."""


class NoImagesError(InvalidInputError):
    """The folder, with all below it, holds no image and no PDF."""


class UnreadablePDFError(InvalidInputError):
    """The file is no PDF, or too damaged to show its pages."""


class EncryptedPDFError(InvalidInputError):
    """The PDF opens with a password only."""


class InvalidArrayError(InvalidInputError):
    """The array is no image: uint8 [H, W, 3], BGR."""


class InvalidThresholdError(InvalidInputError):
    """A threshold is a number from 0 to 1, or a mapping of class ids to such numbers."""


class InvalidConfigError(InvalidInputError):
    """A pipeline's name, file or dict, an address or another setting that does not fit."""


class UnsupportedDeviceError(InvalidInputError):
    """No such device, or none that this build can drive."""


class DependencyError(SodError, ImportError):
    """A package is needed that is not installed; the text says which."""


class LocalServerError(SodError):
    """The local server did not start; the text is its reason."""


class ConnectionFailedError(SodError):
    """The server gave no answer: unknown host, connection refused or broken off, time is up."""


class BadReplyError(SodError):
    """The answer is not the server's format; often a proxy in between, or another server's address."""


class NoImageError(SodError):
    """There is no drawn image, and no source image at hand to draw on."""


class ServerError(SodError):
    """The server refused the request or failed at it.

    Attributes:
        status: HTTP status, 4xx where the request is at fault.
        error_code: `errorCode` of the reply, usually the same number.
        error_msg: `errorMsg` of the reply, as sent.
        log_id: `logId` of the reply, to find the request in the server's log; None if the reply names none.
    """

    def __init__(self, status: int, error_code: int, error_msg: str, log_id: str | None = None) -> None:
        super().__init__(status, error_code, error_msg, log_id)
        self.status = status
        self.error_code = error_code
        self.error_msg = error_msg
        self.log_id = log_id

    @property
    def sentence(self) -> str:
        """The text without the image's name before it."""
        suffix = f" (logId {self.log_id})" if self.log_id else ""
        return f"the server answered {self.status}: {_readable(self.error_msg)}{suffix}"


class AuthenticationError(ServerError):
    """The server wants an API key (`api_key=`, or SOD_API_KEY), or another one."""


class ServerBusyError(ServerError):
    """The server was overloaded or not ready, at every try."""


class SodWarning(UserWarning):
    """Something that was passed has no effect here."""


def _readable(message: str) -> str:
    """A 422's `errorMsg` is a JSON list of findings in a string; anything else stays as it is."""
    try:
        findings = json.loads(message)
        return "; ".join(f"{finding['loc']}: {finding['msg']}" for finding in findings) or message
    except (ValueError, TypeError, KeyError):
        return message

"""The exceptions of this package, one tree; the text of each is a sentence for the person at the keyboard.

SodError
├── InvalidInputError       refused before anything was sent
├── ConnectionFailedError   no answer: refused, broken off, timed out
├── ServerError             the server answered that it did not do it
├── BadReplyError           something answered, and not in the server's format
└── NoImageError            the reply holds no picture to save
"""

import json


class SodError(Exception):
    """Base of every error this package raises, but for the OSError of a file that cannot be written."""


class InvalidInputError(SodError, ValueError):
    """A file that cannot be read, a threshold that is none, a URL without a host."""


class ConnectionFailedError(SodError):
    """The server gave no answer: unknown host, connection refused or broken off, time is up."""


class BadReplyError(SodError):
    """The answer is not the server's format; often a proxy in between, or another server's address."""


class NoImageError(SodError):
    """The reply holds no drawn picture, because `visualize` was off or the server's default is."""


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

    def __str__(self) -> str:
        suffix = f" (logId {self.log_id})" if self.log_id else ""
        return f"the server answered {self.status}: {_readable(self.error_msg)}{suffix}"


def _readable(message: str) -> str:
    """A 422's `errorMsg` is a JSON list of findings in a string; anything else stays as it is."""
    try:
        findings = json.loads(message)
        return "; ".join(f"{finding['loc']}: {finding['msg']}" for finding in findings) or message
    except (ValueError, TypeError, KeyError):
        return message

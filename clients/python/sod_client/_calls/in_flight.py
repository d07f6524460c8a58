"""The images of one call that are in flight: a bounded number, whose results are returned in the input's order."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

from sod_client.errors import (
    AuthenticationError,
    BadReplyError,
    ConnectionFailedError,
    ServerBusyError,
    SodError,
    add_location,
)
from sod_client.result import Result

OnError = Literal["raise", "skip"] | Callable[[SodError], None]
"""What happens if an image fails: raise the error, skip the image, or skip it and pass the error to a function."""

CALL_ERRORS = (AuthenticationError, BadReplyError, ConnectionFailedError, ServerBusyError)
"""Errors that end a call even where images are skipped, because all images after it would fail in the same way."""


class InFlight:
    """A queue of requests, shared by the synchronous and the asynchronous `predict`.

    Args:
        size: the most images whose result has not been returned yet.
        on_skip: receives the error of each image that is skipped; None raises it.
    """

    def __init__(self, size: int, on_skip: Callable[[SodError], None] | None) -> None:
        self._size = size
        self._on_skip = on_skip
        self._pending: deque[tuple[Future[Result], str | None, int | None]] = deque()
        self._has_added_since_take = False
        self._is_ended = False
        self._source_failure: Future[Result] | None = None

    @property
    def wants_more(self) -> bool:
        """Whether to read another image before the next result is returned.

        One image is read for each result that is returned. More are read only while the next result is not there yet,
        so that a slow source, such as a camera, delays a result by one image at most.
        """
        if self._is_ended or len(self._pending) >= self._size:
            return False
        return not self._has_added_since_take or not self._pending or not self._pending[0][0].done()

    @property
    def next(self) -> "Future[Result] | None":
        """The future of the next result; None if all results were returned."""
        return self._pending[0][0] if self._pending else None

    def add(self, future: "Future[Result]", name: str, page_index: int | None) -> None:
        """Add an image whose request was submitted."""
        self._pending.append((future, name, page_index))
        self._has_added_since_take = True

    def add_source_failure(self, failed: "Future[Result]") -> None:
        """Add the error that the source of images raised: it is raised after the results before it."""
        self._pending.append((failed, None, None))
        self._source_failure, self._is_ended = failed, True

    def end(self) -> None:
        """Note that the source has no more images."""
        self._is_ended = True

    def take(self) -> Result | None:
        """Remove the image of `next`, which must be done, and return its result; None if the image is skipped.

        Raises:
            SodError: the image failed and is not skipped; the error names the image.
        """
        future, name, page_index = self._pending.popleft()
        self._has_added_since_take = False
        try:
            return future.result()
        except SodError as error:
            if future is self._source_failure or isinstance(error, CALL_ERRORS):
                raise
            add_location(error, name, page_index)
            if self._on_skip is None:
                raise
            self._on_skip(error.with_traceback(None))
            return None

    def cancel(self) -> None:
        """Cancel the requests that have not begun."""
        for future, _, _ in self._pending:
            future.cancel()

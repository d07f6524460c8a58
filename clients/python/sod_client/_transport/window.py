"""The images of one call that are under way: a bounded number, answered in the order of the input."""

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
    about,
)
from sod_client.result import Result

OnError = Literal["raise", "skip"] | Callable[[SodError], None]
"""What an image without a result does: raise, be skipped, or be skipped and told to a function."""

# These are not about one image: the next one would fare no better.
NOT_OF_A_IMAGE = (AuthenticationError, BadReplyError, ConnectionFailedError, ServerBusyError)


class Window:
    """What the synchronous and the asynchronous `predict` share: when to take the next image, and what to give.

    Args:
        size: images that may be under way or waiting for their turn.
        skipped: told of each error that is passed over; None raises it.
    """

    def __init__(self, size: int, skipped: Callable[[SodError], None] | None) -> None:
        self._size = size
        self._skipped = skipped
        self._pending: deque[tuple[Future[Result], str | None, int | None]] = deque()
        self._taken = 0
        self._ended = False
        self._fatal: Future[Result] | None = None

    @property
    def wants_more(self) -> bool:
        """Whether to take another image before the next answer is given.

        One is taken for each that is given, and more only while the next answer is not there yet: a slow source, such
        as a camera, delays an answer by one image at most.
        """
        if self._ended or len(self._pending) >= self._size:
            return False
        return not self._taken or not self._pending or not self._pending[0][0].done()

    @property
    def next(self) -> "Future[Result] | None":
        """What the next answer comes from; None if all were given."""
        return self._pending[0][0] if self._pending else None

    def add(self, future: "Future[Result]", name: str, page_index: int | None) -> None:
        """An image that is under way."""
        self._pending.append((future, name, page_index))
        self._taken += 1

    def add_fatal(self, failed: "Future[Result]") -> None:
        """The source raised: after the answers before it this is raised too, and nothing comes after it."""
        self._pending.append((failed, None, None))
        self._fatal, self._ended = failed, True

    def end(self) -> None:
        """The source has no more."""
        self._ended = True

    def take(self) -> Result | None:
        """The answer of `next`, which is there; None if it is an error that is passed over.

        Raises:
            SodError: an error that is not, with the image's name in it.
        """
        future, name, page_index = self._pending.popleft()
        self._taken = 0
        try:
            return future.result()
        except SodError as error:
            if future is self._fatal or isinstance(error, NOT_OF_A_IMAGE):
                raise
            about(error, name, page_index)
            if self._skipped is None:
                raise
            self._skipped(error.with_traceback(None))
            return None

    def cancel(self) -> None:
        """Nobody waits any more: what has not begun is not begun."""
        for future, _, _ in self._pending:
            future.cancel()

"""How much may be inside the gateway at once: requests, and the bytes that they hold.

`LoadShedder` counts, `Permit` is one request's share of it; `request_limits` speaks HTTP for them. A request takes a
slot when it arrives and releases it when its answer begins, or while its body is late. Bytes are counted until it has
ended: the body, what is fetched for it (`charge`) and the answer.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic
from types import TracebackType
from typing import Literal, Self

from gateway.errors import OverloadedError, TooManyBytesError
from gateway.observability import metrics

_log = logging.getLogger(__name__)

Reason = Literal["places", "bytes", "too_large", "body_timeout", "deadline", "disconnect"]

# What a request takes without its body: the server's own buffers and tasks.
REQUEST_BYTES = 64 * 1024
_LONGEST_RETRY_S = 60
_LOG_EVERY_S = 10.0


class LoadShedder:
    """The counts of all requests.

    Attributes:
        places: Requests that may be under way at once.
        max_bytes: Bytes they may hold together.
        requests: Requests inside, those that hold no place included: late bodies, and answers being sent.
        taken: Places taken.
        bytes_held: Bytes held; answers count, and are never refused, so it can pass `max_bytes`.
        rejected: Requests turned away or given up, by reason.
    """

    def __init__(self, *, places: int, max_bytes: int, wait_s: Callable[[int], float]) -> None:
        """Set up.

        Args:
            places: see above.
            max_bytes: see above.
            wait_s: estimates in how many seconds so many requests are done.
        """
        self.places = places
        self.max_bytes = max_bytes
        self.requests = 0
        self.taken = 0
        self.bytes_held = 0
        self.rejected: Counter[Reason] = Counter()
        self._wait_s = wait_s
        self._logged_at = -_LOG_EVERY_S
        self._logged: Counter[Reason] = Counter()

    def enter(self, announced: int) -> "Permit":
        """Let a request in.

        Args:
            announced: Length of its body in bytes, 0 if it does not say.

        Raises:
            OverloadedError: there is no place, or not so many bytes, now.
            TooManyBytesError: there never are so many bytes.
        """
        entering = Permit(self)
        try:
            entering.take_place()
            entering.hold(announced)
        except BaseException:
            entering.close()
            raise
        return entering

    @property
    def retry_after_s(self) -> int:
        """When to come again: about when those who are in are done."""
        return max(1, min(_LONGEST_RETRY_S, math.ceil(self._wait_s(self.taken))))

    def reject(self, reason: Reason) -> None:
        """Count a request that is turned away or given up; the log hears of it now and then, not of every one."""
        self.rejected[reason] += 1
        metrics.rejected(reason)
        now = monotonic()
        if now - self._logged_at >= _LOG_EVERY_S:
            since = self.rejected - self._logged
            told = ", ".join(f"{reason} {count}" for reason, count in since.items())
            _log.warning(
                "requests turned away or given up since this was last said: %s (%d inside now, with %d MiB)",
                told,
                self.requests,
                self.bytes_held // 2**20,
            )
            self._logged_at, self._logged = now, self.rejected.copy()

    def overloaded(self, reason: Reason, message: str) -> OverloadedError:
        """The error of a request for which there is no room now, counted."""
        self.reject(reason)
        return OverloadedError(f"{message}; try again", self.retry_after_s)


class Permit:
    """One request's share of the load shedder; leaving the context gives everything back."""

    def __init__(self, shedder: LoadShedder) -> None:
        self._shedder = shedder
        self._has_place = False
        self._bytes = 0
        shedder.requests += 1

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        self.close()

    def close(self) -> None:
        """Give everything back."""
        self.give_place_back()
        self._shedder.bytes_held -= self._bytes
        self._bytes = 0
        self._shedder.requests -= 1

    def take_place(self, *, late: bool = False) -> None:
        """Take a place, if it has none.

        Args:
            late: The request's body is complete and gave its place back meanwhile: it may go beyond the places, up to
                as many again, since refusing it now would waste what was sent.

        Raises:
            OverloadedError: all are taken.
        """
        if self._has_place:
            return
        if self._shedder.taken >= self._shedder.places * (2 if late else 1):
            raise self._shedder.overloaded("places", f"The server is busy with {self._shedder.taken} requests")
        self._has_place = True
        self._shedder.taken += 1

    def give_place_back(self) -> None:
        """Give the place back, if it has one."""
        if self._has_place:
            self._has_place = False
            self._shedder.taken -= 1

    def hold(self, count: int) -> None:
        """Say how many bytes the request holds now.

        Raises:
            OverloadedError: there is no room for them now.
            TooManyBytesError: there never is.
        """
        shedder, wanted = self._shedder, REQUEST_BYTES + count
        if wanted > shedder.max_bytes:
            shedder.reject("too_large")
            raise TooManyBytesError(
                f"The request needs {wanted:,} bytes; the server keeps {shedder.max_bytes:,} for all requests together"
            )
        if shedder.bytes_held - self._bytes + wanted > shedder.max_bytes and wanted > self._bytes:
            raise shedder.overloaded("bytes", f"The server holds {shedder.bytes_held:,} bytes of other requests")
        self._set(wanted)

    def grow_to(self, count: int) -> None:
        """Hold so many bytes at least; raises what `hold` does."""
        if REQUEST_BYTES + count > self._bytes:
            self.hold(count)

    def charge(self, count: int) -> None:
        """Hold so many bytes more; raises what `hold` does."""
        self.hold(self._bytes - REQUEST_BYTES + count)

    def charge_answer(self, count: int) -> None:
        """Hold so many bytes more, whether or not there is room: the work is done, and others will find less."""
        self._set(self._bytes + count)

    def _set(self, count: int) -> None:
        self._shedder.bytes_held += count - self._bytes
        self._bytes = count


_current: ContextVar[Permit | None] = ContextVar("gate_pass", default=None)


def charge(count: int) -> None:
    """Count bytes kept for the current request, if it holds a permit; raises what `Permit.hold` does."""
    current = _current.get()
    if current is not None:
        current.charge(count)

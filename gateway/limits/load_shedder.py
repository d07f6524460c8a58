"""How many requests the gateway accepts at once, and how many bytes they may use together.

`LoadShedder` holds the totals and `Permit` the share of one request; `request_limits` is the HTTP side. A request
acquires a slot when it arrives. It releases the slot when its response starts, or while its body is late. Its bytes
(the body, fetched images, the response) stay reserved until it has ended.
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

Reason = Literal["slots", "bytes", "too_large", "body_timeout", "deadline", "disconnect"]

# Memory of a request besides its body: the server's own buffers and tasks.
REQUEST_BYTES = 64 * 1024
_MAX_RETRY_AFTER_S = 60
_LOG_INTERVAL_S = 10.0


class LoadShedder:
    """The totals of all requests.

    Attributes:
        slots: Requests that may use a slot at once.
        slots_in_use: Slots in use.
        max_bytes: Bytes that all requests may reserve together.
        reserved_bytes: Bytes reserved now; responses are never rejected, so this may exceed `max_bytes`.
        requests: Requests with a permit, including those without a slot (late bodies, responses being sent).
        rejected: Requests rejected or aborted, by reason.
    """

    def __init__(self, *, slots: int, max_bytes: int, estimated_wait_s: Callable[[int], float]) -> None:
        """Start without requests.

        Args:
            slots: Requests that may use a slot at once.
            max_bytes: Bytes that all requests may reserve together.
            estimated_wait_s: Estimates the seconds until the given number of requests is finished.
        """
        self.slots = slots
        self.slots_in_use = 0
        self.max_bytes = max_bytes
        self.reserved_bytes = 0
        self.requests = 0
        self.rejected: Counter[Reason] = Counter()
        self._estimated_wait_s = estimated_wait_s
        self._logged_at = -_LOG_INTERVAL_S
        self._logged: Counter[Reason] = Counter()

    def acquire(self, declared_bytes: int) -> "Permit":
        """Accept a request: acquire a slot and reserve its bytes.

        Args:
            declared_bytes: Length of its body by Content-Length, 0 if it is not declared.

        Raises:
            OverloadedError: There is no free slot, or not enough free bytes, now.
            TooManyBytesError: The body exceeds `max_bytes` even if it is the only one.
        """
        permit = Permit(self)
        try:
            permit.acquire_slot()
            permit.reserve(declared_bytes)
        except BaseException:
            permit.release()
            raise
        return permit

    @property
    def retry_after_s(self) -> int:
        """Estimated seconds until the requests that use a slot now are finished, from 1 to 60."""
        return max(1, min(_MAX_RETRY_AFTER_S, math.ceil(self._estimated_wait_s(self.slots_in_use))))

    def reject(self, reason: Reason) -> None:
        """Count a rejection; log a summary at most every 10 s."""
        self.rejected[reason] += 1
        metrics.record_rejection(reason)
        now = monotonic()
        if now - self._logged_at >= _LOG_INTERVAL_S:
            new = self.rejected - self._logged
            _log.warning(
                "requests rejected or aborted since the last such line: %s (%d requests in progress use %d MiB)",
                ", ".join(f"{reason} {count}" for reason, count in new.items()),
                self.requests,
                self.reserved_bytes // 2**20,
            )
            self._logged_at, self._logged = now, self.rejected.copy()

    def overloaded(self, reason: Reason, message: str) -> OverloadedError:
        """Count a rejection and make its error."""
        self.reject(reason)
        return OverloadedError(f"{message}; try again", self.retry_after_s)


class Permit:
    """The share of one request; leaving the context releases its slot and its bytes.

    Attributes:
        deadline: Time of the event loop at which its response is due; None until its body is complete.
    """

    def __init__(self, shedder: LoadShedder) -> None:
        self.deadline: float | None = None
        self._shedder = shedder
        self._has_slot = False
        self._reserved_bytes = 0
        shedder.requests += 1

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        self.release()

    def release(self) -> None:
        """Release the slot and all bytes."""
        self.release_slot()
        self._set_reserved(0)
        self._shedder.requests -= 1

    def acquire_slot(self, *, late: bool = False) -> None:
        """Acquire a slot, unless the request has one.

        Args:
            late: The body finished after its slot was released; allow up to twice the limit, since a rejection would
                waste what was sent.

        Raises:
            OverloadedError: All slots are in use.
        """
        if self._has_slot:
            return
        if self._shedder.slots_in_use >= self._shedder.slots * (2 if late else 1):
            raise self._shedder.overloaded("slots", f"The server is busy with {self._shedder.slots_in_use} requests")
        self._has_slot = True
        self._shedder.slots_in_use += 1

    def release_slot(self) -> None:
        """Release the slot, if the request has one."""
        if self._has_slot:
            self._has_slot = False
            self._shedder.slots_in_use -= 1

    def reserve(self, count: int) -> None:
        """Change the reservation to `count` bytes, plus `REQUEST_BYTES`.

        Raises:
            OverloadedError: Not enough bytes are free now.
            TooManyBytesError: `count` exceeds the limit for all requests.
        """
        shedder, wanted = self._shedder, REQUEST_BYTES + count
        if wanted > shedder.max_bytes:
            shedder.reject("too_large")
            raise TooManyBytesError(
                f"The request needs {wanted:,} bytes; the limit for all requests together is {shedder.max_bytes:,}"
            )
        if shedder.reserved_bytes - self._reserved_bytes + wanted > shedder.max_bytes and wanted > self._reserved_bytes:
            raise shedder.overloaded("bytes", f"Other requests use {shedder.reserved_bytes:,} bytes of memory")
        self._set_reserved(wanted)

    def reserve_at_least(self, count: int) -> None:
        """Raise the reservation to `count` bytes if it is smaller; raises what `reserve` does."""
        if REQUEST_BYTES + count > self._reserved_bytes:
            self.reserve(count)

    def reserve_more(self, count: int) -> None:
        """Raise the reservation by `count` bytes; raises what `reserve` does."""
        self.reserve(self._reserved_bytes - REQUEST_BYTES + count)

    def reserve_response(self, count: int) -> None:
        """Raise the reservation by `count` bytes whatever is free: the work is done, so new requests have to wait."""
        self._set_reserved(self._reserved_bytes + count)

    def _set_reserved(self, count: int) -> None:
        self._shedder.reserved_bytes += count - self._reserved_bytes
        self._reserved_bytes = count


_current: ContextVar[Permit | None] = ContextVar("permit", default=None)


def charge(count: int) -> None:
    """Reserve `count` bytes more for the current request, if it has a permit; raises what `Permit.reserve` does."""
    permit = _current.get()
    if permit is not None:
        permit.reserve_more(count)


def current_deadline() -> float | None:
    """Time of the event loop at which the response to the current request is due; None if it has no permit."""
    permit = _current.get()
    return None if permit is None else permit.deadline

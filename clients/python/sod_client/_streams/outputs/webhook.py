"""Sends events to a URL, one after another, without delaying the frames."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from sod_client._streams.outputs.text import to_line
from sod_client._streams.sources.address import masked
from sod_client.errors import InvalidConfigError

MOST_WAITING = 1000
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
_TIMEOUT_S = 10.0
CLOSE_S = 5.0


class Webhook:
    """POSTs each event as JSON. An event that fails is sent again, up to 5 times in all.

    Events wait in a queue of `MOST_WAITING`; while it is full, the oldest are dropped. Redirects are not followed.

    Args:
        url: http(s)://….
        report: receives a sentence when the receiver does not respond, and when it does again.

    Raises:
        InvalidConfigError: the URL is not one of http or https.
    """

    def __init__(self, url: str, report: Callable[[str], object]) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidConfigError(f"the webhook {url!r} is not a URL: {error}") from error
        has_port = parsed.port is None or 0 < parsed.port <= 65_535
        if parsed.scheme not in ("http", "https") or not parsed.host or not has_port:
            raise InvalidConfigError(f"the webhook must be an http:// or https:// URL, not {url!r}")
        self.dropped = 0
        self._url, self._report = parsed, report
        self._name = masked(url)
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="watch-webhook", daemon=True)
        self._thread.start()

    def send(self, event: dict[str, Any]) -> None:
        """Send an event later."""
        while True:
            try:
                self._events.put_nowait(event)
            except queue.Full:
                try:
                    self._events.get_nowait()
                    self._events.task_done()
                    self.dropped += 1
                except queue.Empty:
                    pass
            else:
                return

    def close(self) -> None:
        """Wait some seconds for the events that are left, and report how many were not delivered."""
        until = time.monotonic() + CLOSE_S
        while self._events.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.02)
        lost = self.dropped + self._events.unfinished_tasks
        self._stop.set()
        if lost:
            self._report(f"{lost} event{' was' if lost == 1 else 's were'} not delivered to {self._name}")

    def _run(self) -> None:
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            while not self._stop.is_set():
                try:
                    event = self._events.get(timeout=0.1)
                except queue.Empty:
                    continue
                if event is not None and not self._deliver(client, event):
                    self.dropped += 1
                self._events.task_done()

    def _deliver(self, client: httpx.Client, event: dict[str, Any]) -> bool:
        for pause in (*_PAUSES_S, None):
            try:
                response = client.post(
                    self._url, content=to_line(event).encode(), headers={"Content-Type": "application/json"}
                )
                problem = "" if response.is_success else f"answered {response.status_code}"
            except httpx.HTTPError as error:
                problem = f"did not respond: {error or type(error).__name__}"
            if not problem:
                if self._is_away:
                    self._report(f"{self._name} takes events again")
                self._is_away = False
                return True
            if not self._is_away:
                self._report(f"{self._name} {problem}; events are sent again later")
            self._is_away = True
            if pause is None or self._stop.wait(pause):
                return False
        return False

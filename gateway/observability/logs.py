"""Log lines as text or JSON, with the log id of their request and without control characters."""

import logging
import re
import sys
from collections.abc import Callable
from time import monotonic
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from gateway.observability.request_context import current_request
from gateway.observability.tracing import current_trace_id

ACCESS = "gateway.access"
_MAX_LOG_ID = 100
_REPETITION_S = 10.0
_MAX_KINDS = 256
# C0, DEL, C1, Unicode line separators, and bidirectional controls.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure(level: str, log_format: Literal["text", "json"]) -> None:
    """Log to stderr; replaces earlier handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepetitionFilter())
    handler.addFilter(_add_request)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # The access log has its own setting.
    logging.getLogger(ACCESS).setLevel(logging.INFO)
    # They log the URL of every fetch at level info, and URLs may contain secrets.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


class RepetitionFilter(logging.Filter):
    """Lets one warning of a kind pass in ten seconds, with the number of those that were left out since.

    A kind is a logger and a message. Lines below a warning, and those with a traceback, always pass.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record; may append the count to its message."""
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        kind, now = (record.name, record.getMessage()), self._clock()
        logged_at, left_out = self._kinds.get(kind, (float("-inf"), 0))
        if now - logged_at < _REPETITION_S:
            self._kinds[kind] = logged_at, left_out + 1
            return False
        if len(self._kinds) >= _MAX_KINDS:
            self._kinds.clear()
        self._kinds[kind] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out:,} more since the last such line)", None
        return True


def printable(text: str) -> str:
    """Escape control characters, so that no client can forge a log line."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _add_request(record: logging.LogRecord) -> bool:
    request = current_request()
    if request is not None:
        record.logId = request.log_id[:_MAX_LOG_ID]
    trace_id = current_trace_id()
    if trace_id is not None:
        record.traceId = trace_id
    return True


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        log_id = getattr(record, "logId", None)
        suffix = f" (logId {printable(log_id)})" if log_id is not None else ""
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {printable(record.getMessage())}{suffix}"
        if record.exc_info:
            # Indented, so that no line of an exception's text looks like a log line.
            lines = self.formatException(record.exc_info).split("\n")
            line += "".join(f"\n  {printable(one)}" for one in lines)
        return line


class _Json(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            timestamp="time",
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's copy of the message for terminals
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        )

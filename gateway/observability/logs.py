"""Log lines: text or JSON, with the log id of the request that they belong to, and no control characters."""

import logging
import re
import sys
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from gateway.observability.request_context import current_request
from gateway.observability.tracing import current_trace_id

ACCESS = "gateway.access"
_LONGEST_LOG_ID = 100
# C0, DEL, C1, and what Unicode takes for a line's end or uses to turn its direction.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure(level: str, log_format: Literal["text", "json"]) -> None:
    """Log to stderr; what was configured before is replaced."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_of_request)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # ParsedRequest for by a setting of its own.
    logging.getLogger(ACCESS).setLevel(logging.INFO)
    # One line for every fetch, with the URL and what secrets it holds.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def printable(text: str) -> str:
    """The text with its control characters escaped, so that no client can forge a line."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _of_request(record: logging.LogRecord) -> bool:
    scope = current_request()
    if scope is not None:
        record.logId = scope.log_id[:_LONGEST_LOG_ID]
    trace_id = current_trace_id()
    if trace_id is not None:
        record.traceId = trace_id
    return True


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        log_id = getattr(record, "logId", None)
        of_request = f" (logId {printable(log_id)})" if log_id is not None else ""
        line = (
            f"{self.formatTime(record)} {record.levelname} {record.name}: {printable(record.getMessage())}{of_request}"
        )
        if record.exc_info:
            # Indented: a line of an exception's text cannot pass for a line of the log.
            told = self.formatException(record.exc_info).split("\n")
            line += "".join(f"\n  {printable(one)}" for one in told)
        return line


class _Json(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            timestamp="time",
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        )

"""Everything that the launcher writes: its own messages and its children's, as text or as JSON lines.

A thread of its own writes. A reader that is gone or has stopped reading (`| head`, a closed terminal, a log collector
that hangs) costs messages, never the server: what cannot be written is dropped and counted.
"""

import json
import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, Literal

LogFormat = Literal["text", "json"]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

STDOUT = 1
STDERR = 2
_MOST_WAITING = 2000
_LAST_WORDS_S = 0.5
# Triton's log format: I1128 12:07:45.450066 24625 grpc_server.cc:2558] "Started …"
_TRITON_LINE = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ (\S+:\d+)\] (.*)$", re.DOTALL)
_TRITON_LEVELS: dict[str, Level] = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "ERROR"}


class Output:
    """Writes lines to stdout and stderr.

    Args:
        log_format: `json` writes one object a line with `time`, `level`, `logger` and `message`, as the gateway does.
    """

    def __init__(self, log_format: LogFormat = "text") -> None:
        self.log_format = log_format
        self._waiting: Queue[tuple[int, bytes]] = Queue(_MOST_WAITING)
        self._dropped = 0
        self._closing = Event()
        self._thread = Thread(target=self._write_all, daemon=True, name="output")
        self._thread.start()

    def log(self, level: Level, message: str) -> None:
        """A message of the launcher, on stderr, with time and level."""
        if self.log_format == "json":
            self._put(STDERR, _json_line(level, "server", message))
        else:
            now = time.time()
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
            self._put(STDERR, f"{stamp},{int(now % 1 * 1000):03} {level} server: {message}\n".encode())

    def announce(self, text: str, stream: int = STDERR, **fields: Any) -> None:
        """What a person reads at a terminal: `text` as it is; with JSON one object with `fields` added."""
        if self.log_format == "json":
            self._put(stream, _json_line("INFO", "server", text if not fields else fields.pop("message"), **fields))
        else:
            self._put(stream, f"{text}\n".encode())

    def relay(self, source: str, line: bytes) -> None:
        """A line of a child's output, on stderr; `source` is the logger that a JSON line names."""
        if self.log_format == "text":
            self._put(STDERR, line if line.endswith(b"\n") else line + b"\n")
            return
        text = line.decode(errors="replace").rstrip("\n")
        if not text.strip():
            return
        if text.startswith("{") and _is_json_object(text):  # the gateway's own
            self._put(STDERR, text.encode() + b"\n")
        elif found := _TRITON_LINE.match(text):
            message = _unquoted(found[3])
            if message.strip():
                self._put(STDERR, _json_line(_TRITON_LEVELS[found[1]], source, message, source=found[2]))
        else:
            self._put(STDERR, _json_line("INFO", source, text))

    def close(self) -> None:
        """Write what is waiting, for half a second at most."""
        self._closing.set()
        self._thread.join(_LAST_WORDS_S)

    def _put(self, stream: int, line: bytes) -> None:
        try:
            self._waiting.put_nowait((stream, line))
        except Full:
            self._dropped += 1

    def _write_all(self) -> None:
        while True:
            try:
                stream, line = self._waiting.get(timeout=0.05)
            except Empty:
                if self._closing.is_set():
                    return
                continue
            _write(stream, line)
            if self._dropped and self._waiting.qsize() < _MOST_WAITING // 2:
                dropped, self._dropped = self._dropped, 0
                self.log("WARNING", f"{dropped} log lines were dropped: nobody read them in time")


def open_standard_streams() -> None:
    """Open /dev/null in place of each standard stream that is closed, or the next file opened would take its number."""
    for number in (0, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


def _write(stream: int, line: bytes) -> None:
    while line:
        try:
            line = line[os.write(stream, line) :]
        except OSError:  # the reader is gone (EPIPE, EIO), the disk is full: the message is lost, nothing else
            return


def _json_line(level: str, logger: str, message: str, **fields: Any) -> bytes:
    record = {"time": datetime.now(UTC).isoformat(), "level": level, "logger": logger, "message": message, **fields}
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        with suppress(ValueError):
            return str(json.loads(text, strict=False))
    return text

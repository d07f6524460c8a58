"""Passing a child's output on, line by line, without what repeats itself."""

import os
import re
import select
import time
from collections.abc import Callable
from dataclasses import dataclass

from server.process.output import Output

_PERIOD_S = 10.0
_LONGEST_LINE = 64 * 1024
_MOST_KINDS = 200
_NUMBERS = re.compile(rb"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+")

# Whether a line is to be shown; it may note what the line says.
LineFilter = Callable[[bytes], bool]


@dataclass(slots=True)
class _Kind:
    shown_at: float
    line: bytes
    more: int = 0


class RepeatLimit:
    """Lets one line of a kind through in ten seconds and counts the others.

    Lines that differ only in numbers are of one kind.
    """

    def __init__(self, period_s: float = _PERIOD_S) -> None:
        self._period_s = period_s
        self._kinds: dict[bytes, _Kind] = {}

    def passes(self, line: bytes, now: float) -> bool:
        """Whether this line is shown."""
        key = _NUMBERS.sub(b"#", line)
        kind = self._kinds.get(key)
        if kind is not None and now - kind.shown_at < self._period_s:
            kind.more += 1
            kind.line = line
            return False
        if kind is None and len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[key] = _Kind(now, line)
        return True

    def summaries(self, now: float, *, all_of_them: bool = False) -> list[bytes]:
        """The last line of each kind whose ten seconds are over, with how many others were not shown."""
        due = [k for k in self._kinds.values() if k.more and (all_of_them or now - k.shown_at >= self._period_s)]
        lines = []
        for kind in due:
            more = f" ({kind.more} such lines in {now - kind.shown_at:.0f} s)\n".encode()
            lines.append(kind.line.rstrip(b"\n") + more)
            kind.shown_at, kind.more = now, 0
        return lines


def relay(pipe: int, source: str, output: Output, shows: LineFilter, limit: RepeatLimit | None) -> None:
    """Read the pipe to its end and pass the lines on.

    Args:
        pipe: file descriptor; it is closed at the end.
        source: the logger that a JSON line names.
        output: takes the lines.
        shows: is asked about every line.
        limit: for repeated lines; None shows them all.
    """
    rest = b""
    try:
        while True:
            ready, _, _ = select.select([pipe], [], [], 1.0)
            now = time.monotonic()
            for line in limit.summaries(now) if limit is not None else []:
                output.relay(source, line)
            if not ready:
                continue
            content = os.read(pipe, _LONGEST_LINE)
            *lines, rest = (rest + content).split(b"\n")
            if not content or len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                if line and shows(line) and (limit is None or limit.passes(line, now)):
                    output.relay(source, line)
            if not content:
                return
    finally:
        for line in limit.summaries(time.monotonic(), all_of_them=True) if limit is not None else []:
            output.relay(source, line)
        os.close(pipe)

"""Process states from /proc (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")

# States as the kernel names them.
ZOMBIE = "Z"  # it has ended, and its parent has not asked for its exit status yet
STOPPED = "T"  # by SIGSTOP or SIGTSTP; a debugger's stop is a small t
SLEEPING = "S"  # it waits for an event


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One reading of /proc/<pid>/stat.

    Attributes:
        pid: process id.
        name: of the program, cut off at 15 characters by the kernel.
        state: one letter; see the constants above.
        parent: process id of the parent.
        cpu_ticks: processor time of all its threads, user and system, in ticks of 10 ms.
        exit_signal: number of the signal that ended it; 0 while it runs, and if it ended by itself.
    """

    pid: int
    name: str
    state: str
    parent: int
    cpu_ticks: int
    exit_signal: int = 0


def read_status(pid: int) -> ProcessStatus | None:
    """The process's status now; None if there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold spaces and parentheses itself.
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    ticks = int(fields[11]) + int(fields[12])
    return ProcessStatus(pid, name, fields[0], int(fields[1]), ticks, os.WTERMSIG(int(fields[49])))


def child_pids(pid: int) -> list[int]:
    """Process ids of the direct children, whichever thread started them; empty if the process is gone."""
    found: list[int] = []
    for children in (_PROC / str(pid) / "task").glob("*/children"):
        try:
            found += map(int, children.read_text(encoding="ascii").split())
        except OSError:  # the thread has ended meanwhile
            continue
    return sorted(found)


def command_line(pid: int) -> list[str]:
    """Program and arguments; empty for a zombie and for a process that is gone."""
    try:
        content = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode(errors="replace") for word in content.split(b"\0") if word]

"""Freed memory is returned to the operating system."""

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import psutil, sys
from gateway.http_server.memory import release_large_blocks
if sys.argv[1] == "on":
    release_large_blocks()
bytes(30_000_000)  # glibc learns from this
blocks, kept = [], []
for _ in range(40):
    blocks.append(b"x" * 8_000_000)
    kept.append(b"x" * 200_000)  # lies behind it
blocks.clear()
print(psutil.Process().memory_info().rss)
"""


def test_large_blocks_are_released() -> None:
    def rss(switch: str) -> int:
        command = [sys.executable, "-c", _SCRIPT, switch]
        root = Path(__file__).parents[3]
        return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)

    assert rss("on") < 120_000_000
    assert rss("off") > 250_000_000  # else it is not needed any more

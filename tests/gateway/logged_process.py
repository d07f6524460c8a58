"""Run a gateway in a separate process with its log in a file."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 120


@contextmanager
def logging_to(log: Path, *options: str, **environ: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start one on a free port; yields its URL and process, and ends it if the test has not."""
    command = [sys.executable, "-m", "gateway", "--port", "0", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, **environ})
    try:
        until = time.monotonic() + _TIMEOUT_S
        while not (match := re.search(r"running on (https?://\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield match[1], process
    finally:
        process.kill()
        process.wait()


def refused(*options: str, **environ: str) -> str:
    """What a gateway says that does not start: a sentence, and status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *options],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        timeout=_TIMEOUT_S,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr

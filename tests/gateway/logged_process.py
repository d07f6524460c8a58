"""Run a gateway in a separate process with its log in a file."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.launching import launched

ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 120


@contextmanager
def logging_to(log: Path, *options: str, **environ: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start one on a free port; yields its URL and process, and ends it if the test has not."""

    def address() -> re.Match[str] | None:
        return re.search(r"running on (https?://\S+)", log.read_text())

    command = [sys.executable, "-m", "gateway", "--port", "0", *options]
    with launched(
        "the gateway",
        command,
        lambda: address() is not None,
        log=log,
        environ=environ,
        folder=ROOT,
        start_timeout_s=_TIMEOUT_S,
        stop_timeout_s=0,
    ) as process:
        match = address()
        assert match is not None
        yield match[1], process


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

"""Run a gateway in a separate process."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A gateway of its own on a free port; yields its URL and process."""
    command = (sys.executable, "-m", "gateway", "--port", "0", *options)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not (
                match := re.search(rb"running on (http://127\.0\.0\.1:\d+)", line := await process.stderr.readline())
            ):
                assert line, "it ended"
        yield match[1].decode(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Its exit status and what it still wrote, once it has ended."""
    async with asyncio.timeout(TIMEOUT_S):
        _, log = await process.communicate()
    assert process.returncode is not None
    return process.returncode, log.decode()


async def insist(process: asyncio.subprocess.Process) -> None:
    """Signal until it has ended: within a second of the first, a signal counts as its echo."""
    async with asyncio.timeout(TIMEOUT_S):
        while process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)


async def until_closed(url: str) -> None:
    """Until nobody listens any more."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
                    await client.get("/health")
            except httpx.ConnectError:
                return
            except httpx.TransportError:  # it was in the queue of a listener that closed: what `drain_delay` is for
                pass

"""Run a gateway in a separate process."""

import asyncio
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.gateway.logged_process import ROOT, logging_to

__all__ = ["ROOT", "TIMEOUT_S", "GatewayProcess", "ended", "insist", "running", "until_closed"]
TIMEOUT_S = 120


@dataclass(frozen=True)
class GatewayProcess:
    """A started gateway with the part of `asyncio.subprocess.Process` that tests use."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.poll()

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()

    async def wait(self) -> int:
        return await asyncio.to_thread(self.process.wait)

    async def communicate(self) -> tuple[bytes, bytes]:
        """Nothing, and its log, once it has ended."""
        await self.wait()
        return b"", self.log.read_bytes()


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[tuple[str, GatewayProcess]]:
    """A gateway of its own on a free port; yields its URL and process."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "gateway.log"
        with logging_to(log, *options) as (url, process):
            yield url, GatewayProcess(process, log)


async def ended(process: asyncio.subprocess.Process | GatewayProcess) -> tuple[int, str]:
    """Its exit status and what it still wrote, once it has ended."""
    async with asyncio.timeout(TIMEOUT_S):
        _, log = await process.communicate()
    assert process.returncode is not None
    return process.returncode, log.decode()


async def insist(process: GatewayProcess) -> None:
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

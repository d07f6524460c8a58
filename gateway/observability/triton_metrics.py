"""Triton's own metrics, fetched when ours are asked for."""

import asyncio
import re
from types import TracebackType
from typing import Self

import httpx

from gateway.observability.metrics import TRITON_UP

_TIMEOUT_S = 2.0
_MAX_BYTES = 4 * 1024 * 1024
# Any other line would break, or clash with, what it is appended to.
_TRITONS = re.compile(rb"(?:(?:# (?:HELP|TYPE) )?nv_[^\n]*\n|\n)+")


class TritonMetrics:
    """A client of Triton's metrics port; without a URL it has nothing to say."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def text(self) -> bytes:
        """Triton's text, led by a gauge that says whether it is there."""
        if self._url is None:
            return b""
        fetched = await self._fetch(self._url)
        name = TRITON_UP.name
        lead = f"# HELP {name} {TRITON_UP.meaning}\n# TYPE {name} gauge\n{name} {float(fetched is not None)}\n"
        return lead.encode() + (fetched or b"")

    async def _fetch(self, url: str) -> bytes | None:
        received = bytearray()
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    return None
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > _MAX_BYTES:
                        return None
        except (httpx.HTTPError, OSError):
            return None
        return bytes(received) if _TRITONS.fullmatch(received) else None

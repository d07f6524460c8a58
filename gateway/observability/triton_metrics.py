"""Triton's own metrics, fetched when the gateway's are scraped."""

import asyncio
import re
import ssl
from types import TracebackType
from typing import Self

import httpx

from gateway.observability.metrics import TRITON_UP

_MAX_BYTES = 4 * 1024 * 1024
# Other lines could be malformed or duplicate the gateway's own metrics.
_TRITON_METRICS = re.compile(rb"(?:(?:# (?:HELP|TYPE) )?nv_[^\n]*\n|\n)+")


class TritonMetrics:
    """A client of Triton's metrics port; without a URL it returns nothing."""

    def __init__(self, url: str | None, timeout_s: float = 2.0) -> None:
        self._url = url
        self._timeout_s = timeout_s
        # A context without authorities trusts nobody; to read them takes 20 ms of processor time.
        uses_tls = url is not None and url.lower().startswith("https:")
        verify = True if uses_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False, verify=verify)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def text(self) -> bytes:
        """Triton's metrics as text, preceded by a gauge for whether they are available."""
        if self._url is None:
            return b""
        fetched = await self._fetch(self._url)
        name = TRITON_UP.name
        gauge = f"# HELP {name} {TRITON_UP.meaning}\n# TYPE {name} gauge\n{name} {float(fetched is not None)}\n"
        return gauge.encode() + (fetched or b"")

    async def _fetch(self, url: str) -> bytes | None:
        received = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s), self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    return None
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > _MAX_BYTES:
                        return None
        except (httpx.HTTPError, OSError):
            return None
        return bytes(received) if _TRITON_METRICS.fullmatch(received) else None

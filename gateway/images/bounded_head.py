"""Connections whose response head is bounded: h11 takes any number of interim responses (1xx) before the final one."""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from gateway.errors import InputError

MAX_HEAD_BYTES = 64 * 1024


class BoundedHeadStream(httpcore.AsyncNetworkStream):
    """Counts what is read until `head_received` is called."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left: int | None = MAX_HEAD_BYTES

    def head_received(self) -> None:
        """The final response has begun; its body has limits of its own."""
        self._left = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface's
        """Read some bytes.

        Raises:
            InputError: The response head is over the limit.
        """
        if self._left is None:
            return await self._stream.read(max_bytes, timeout)
        if self._left <= 0:
            raise InputError(f"The image URL's host sends more than {MAX_HEAD_BYTES:,} bytes of response headers")
        # Not more than is left: h11 has a limit of its own, a little above, and an error that says less.
        data = await self._stream.read(min(max_bytes, self._left), timeout)
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface's
        """Write all bytes."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> httpcore.AsyncNetworkStream:
        """Speak TLS from here on."""
        return BoundedHeadStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What the connection says of itself."""
        return self._stream.get_extra_info(info)


class BoundedHeadNetwork(httpcore.AsyncNetworkBackend):
    """Opens such connections."""

    def __init__(self, network: httpcore.AsyncNetworkBackend) -> None:
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect as the network does; raises what it raises."""
        return BoundedHeadStream(await self._network.connect_tcp(host, port, timeout, local_address, socket_options))

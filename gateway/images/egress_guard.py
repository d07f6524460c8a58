"""Egress guard: every connection of a fetch goes through it, and only to addresses that passed its checks."""

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice

import httpcore

from gateway.errors import InputError
from gateway.images.addresses import (
    Address,
    AllowList,
    interleaved,
    is_global,
    parse_address,
    parse_host,
    shown_addresses,
)
from gateway.images.resolver import Resolver

_log = logging.getLogger(__name__)

# Mail, SSH and other protocols that an HTTP request must not reach listen on the other ports below 1024.
_WEB_PORTS = (80, 443)
_FIRST_UNPRIVILEGED_PORT = 1024
# The first addresses of a name are tried. All of them are checked, so their number is limited.
_MAX_ATTEMPTS = 4
_MAX_ADDRESSES = 64

# The texts do not depend on what was found, so that clients learn nothing of the network behind the gateway.
_ADDRESS_REFUSED = "The image URL leads to an address that is not public; only public addresses are fetched from"
_NAME_REFUSED = (
    "The image URL's host is not known, or not all of its addresses are public; only public addresses are fetched from"
)
_PORT_REFUSED = "The image URL leads to the port {}; the ports fetched from are 80, 443 and 1024 to 65535"


class EgressGuard(httpcore.AsyncNetworkBackend):
    """Resolves a host once, checks all of its addresses, and connects to one of them.

    The caller adds TLS, for which the host's name still counts.
    """

    def __init__(self, allow: AllowList, resolve: Resolver, network: httpcore.AsyncNetworkBackend) -> None:
        """Prepare the guard; `network` is only given addresses, never names."""
        self._allow = allow
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect within `timeout` seconds, DNS lookup included.

        Raises:
            InputError: The host must not be contacted, or does not exist.
            httpcore.ConnectError: None of its addresses accepts the connection.
            httpcore.ConnectTimeout: The time is over.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._allowed_addresses(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        failure: Exception | None = None
        for attempt, address in enumerate(addresses):
            # Divide the remaining time, so that one unresponsive address does not use all of it.
            left = None if timeout is None else max(0.0, timeout - (loop.time() - started)) / (len(addresses) - attempt)
            try:
                return await self._network.connect_tcp(
                    str(address), port, timeout=left, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")

    async def _allowed_addresses(self, host: str, port: int) -> list[Address]:
        """The addresses to try, if all addresses of the host may be contacted."""
        target = parse_host(host)
        if isinstance(target, str):
            addresses, refusal = await self._resolve_addresses(target), _NAME_REFUSED
            name_allowed = self._allow.has_name(target)
        else:
            addresses, refusal, name_allowed = [target], _ADDRESS_REFUSED, False
        restricted = [] if name_allowed else [one for one in addresses if not self._allow.has_address(one)]
        if not 0 < len(addresses) <= _MAX_ADDRESSES or not all(map(is_global, restricted)):
            self._log_refusal(target, addresses)
            raise InputError(refusal)
        if restricted and port not in _WEB_PORTS and port < _FIRST_UNPRIVILEGED_PORT:
            raise InputError(_PORT_REFUSED.format(port))
        return list(islice(interleaved(addresses), _MAX_ATTEMPTS))

    async def _resolve_addresses(self, name: str) -> list[Address]:
        try:
            return [parse_address(text) for text in await self._resolve(name)]
        except (OSError, ValueError) as error:
            _log.info("image URL's host %s has no address: %s", name, error)
            raise InputError(_NAME_REFUSED) from error

    @staticmethod
    def _log_refusal(target: Address | str, addresses: list[Address]) -> None:
        _log.info(
            "image URL's host %s is refused: not all of its addresses are public: %s",
            target,
            shown_addresses(addresses[:_MAX_ADDRESSES]),
        )

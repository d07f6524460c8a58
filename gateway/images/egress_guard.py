"""TCP connections to checked addresses only: the one place through which fetches reach the network."""

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

# Below the high ones live mail, SSH and other protocols that an HTTP request must not be slipped to.
_LOW_PORTS = (80, 443)
_FIRST_HIGH_PORT = 1024
# Of a name's addresses the first ones are tried; all are checked, so that there must not be any number of them.
_TRIED = 4
_MOST_ADDRESSES = 64

# One text each, whatever is there: they are all that a client learns of the network behind the gateway.
_ADDRESS_REFUSED = "The image URL leads to an address that is not public; only public addresses are fetched from"
_NAME_REFUSED = (
    "The image URL's host is not known, or not all of its addresses are public; only public addresses are fetched from"
)
_PORT_REFUSED = "The image URL leads to the port {}; the ports fetched from are 80, 443 and 1024 to 65535"


class EgressGuard(httpcore.AsyncNetworkBackend):
    """Resolves a host once, checks every address it has, and connects to one of those.

    TLS, made by the caller on top of the connection, still goes by the host's name.
    """

    def __init__(self, allow: AllowList, resolve: Resolver, network: httpcore.AsyncNetworkBackend) -> None:
        """`network` gets addresses only, never names."""
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
        """Connect within `timeout` seconds, looking the name up included.

        Raises:
            InputError: the host must not be asked, or there is none.
            httpcore.ConnectError: none of its addresses takes the connection.
            httpcore.ConnectTimeout: the time is over.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        failure: Exception | None = None
        for tried, address in enumerate(addresses):
            # What is left is shared out, so that one address that stays silent does not use up all of it.
            left = None if timeout is None else max(0.0, timeout - (loop.time() - started)) / (len(addresses) - tried)
            try:
                return await self._network.connect_tcp(
                    str(address), port, timeout=left, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")

    async def _checked(self, host: str, port: int) -> list[Address]:
        """The addresses to try, if all that the host has may be asked."""
        target = parse_host(host)
        if isinstance(target, str):
            addresses, refusal = await self._look_up(target), _NAME_REFUSED
            named = self._allow.has_name(target)
        else:
            addresses, refusal, named = [target], _ADDRESS_REFUSED, False
        guarded = [] if named else [one for one in addresses if not self._allow.has_address(one)]
        if not 0 < len(addresses) <= _MOST_ADDRESSES or not all(map(is_global, guarded)):
            self._log_refusal(target, addresses)
            raise InputError(refusal)
        if guarded and port not in _LOW_PORTS and port < _FIRST_HIGH_PORT:
            raise InputError(_PORT_REFUSED.format(port))
        return list(islice(interleaved(addresses), _TRIED))

    async def _look_up(self, name: str) -> list[Address]:
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
            shown_addresses(addresses[:_MOST_ADDRESSES]),
        )

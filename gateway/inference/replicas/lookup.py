"""From the names among the Tritons' addresses to host:port."""

import asyncio

from gateway.images.resolver import Resolver
from sod.triton_addresses import TritonAddresses, join_port


async def look_up(addresses: TritonAddresses, resolver: Resolver, timeout_s: float) -> tuple[set[str], list[str]]:
    """The addresses of all Tritons, host:port, and what went wrong with names that have none now.

    Args:
        addresses: Those that are fixed are taken as they are.
        resolver: Looks up names.
        timeout_s: Seconds for all names together.
    """

    async def one(name: str, port: int) -> set[str]:
        async with asyncio.timeout(timeout_s):
            return {join_port(address, port) for address in await resolver(name)}

    found = await asyncio.gather(*(one(*name) for name in addresses.names), return_exceptions=True)
    known, problems = set(addresses.fixed), []
    for (name, _), result in zip(addresses.names, found, strict=True):
        if isinstance(result, set):
            known |= result
        elif isinstance(result, TimeoutError):
            problems.append(f"{name}: no name server responded within {timeout_s:g} s")
        elif isinstance(result, OSError):
            problems.append(f"{name}: {result.strerror or result}")
        else:
            raise result
    return known, problems

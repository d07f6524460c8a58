"""From names to the addresses of Tritons."""

import asyncio

from gateway.inference.replicas.lookup import look_up
from sod.triton_addresses import TritonAddresses


async def test_names_are_looked_up() -> None:
    async def resolve(name: str) -> list[str]:
        if name == "slow":
            await asyncio.sleep(60)
        if name == "absent":
            raise OSError(-2, "Name or service not known")
        return ["10.0.0.1", "fd00::1", "10.0.0.1"]

    addresses = TritonAddresses.parse("other:1,dns:///here:8001,dns:///absent:8001,dns:///slow:8001")
    found, problems = await look_up(addresses, resolve, 0.05)
    assert found == {"other:1", "10.0.0.1:8001", "[fd00::1]:8001"}
    assert problems == ["absent: Name or service not known", "slow: no name server responded within 0.05 s"]

"""No spelling of an address that is not public is connected to."""

import asyncio
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.app import fetch_options
from gateway.errors import InputError
from gateway.images.addresses import is_global
from gateway.images.fetch import ImageFetcher
from gateway.settings import Settings
from tests.gateway.images.fake_network import PUBLIC, FakeNetwork
from tests.gateway.images.guarded import TRUST


def spelled_number(value: int) -> st.SearchStrategy[str]:
    return st.builds(
        lambda form, zeros, upper: form(value, "0" * zeros).upper() if upper else form(value, "0" * zeros),
        st.sampled_from(
            [lambda v, z: f"{z}{v}", lambda v, z: f"0{z}{v:o}", lambda v, z: f"0x{z}{v:x}", lambda v, _: f"{v}"]
        ),
        st.integers(0, 12),
        st.booleans(),
    )


@st.composite
def spelled_v4(draw: st.DrawFn) -> str:
    """As inet_aton reads it: one to four numbers, each decimal, octal or hexadecimal; digits and dots of any script."""
    address = draw(st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0x7F000001, 0xA9FEA9FE, 0x0A000001, 0])))
    assume(not is_global(IPv4Address(address)))
    parts = draw(st.integers(1, 4))
    numbers = [address >> shift & 0xFF for shift in (24, 16, 8)[: parts - 1]]
    numbers.append(address & (1 << 8 * (5 - parts)) - 1)
    dot = draw(st.sampled_from([".", ".", ".", "。", "\uff0e", "｡", "%2e"]))
    text = dot.join(draw(spelled_number(number)) for number in numbers) + draw(st.sampled_from(["", "."]))
    return text.translate({i: 0xFF10 + i - 48 for i in range(48, 58)}) if draw(st.integers(0, 9)) == 0 else text


@st.composite
def spelled_v6(draw: st.DrawFn) -> str:
    """Any IPv6 address that is not public, IPv4 ones embedded in it among them, in brackets."""
    low = draw(st.integers(0, 2**32 - 1))
    value = draw(
        st.one_of(
            st.integers(0, 2**128 - 1),
            st.sampled_from(
                [low, 0xFFFF << 32 | low, 0x64FF9B << 96 | low, 0x2002 << 112 | low << 80, 0xFE80 << 112 | low]
            ),
            st.sampled_from([0, 1, 0xFFFF7F000001]),
        )
    )
    address = IPv6Address(value)
    assume(not is_global(address))
    dotted = f"{IPv6Address(value >> 32 << 32).exploded[:-9]}{IPv4Address(value & 0xFFFFFFFF)}"
    text = draw(st.sampled_from([address.compressed, address.exploded, dotted]))
    zone = draw(st.sampled_from(["", "", "%1", "%25eth0"]))
    return f"[{text.upper() if draw(st.booleans()) else text}{zone}]"


@given(st.one_of(spelled_v4(), spelled_v6()), st.sampled_from(["http", "https"]), st.sampled_from(["", ":80", ":8000"]))
def test_every_spelling_of_an_address_that_is_not_public_is_refused(host: str, scheme: str, port: str) -> None:
    network = FakeNetwork()

    async def anything(_: str) -> list[str]:
        return [PUBLIC]  # what is taken for a name is connected to, and found out

    async def run() -> None:
        async with ImageFetcher(
            fetch_options(Settings()), resolve=anything, network=network, ssl_context=TRUST
        ) as fetcher:
            await fetcher.fetch(f"{scheme}://{host}{port}/a.jpg")

    with pytest.raises(InputError):
        asyncio.run(run())
    assert network.connected == []

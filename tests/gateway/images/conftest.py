"""A gateway that resolves names with a fake resolver and connects through a fake network."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import pytest

import gateway.app
from gateway.images.fetch import ImageFetcher
from tests.gateway.images.fake_network import PUBLIC, PUBLIC_V6, FakeNetwork, FakeResolver
from tests.gateway.images.guarded import TRUST

NAMES = {
    "localhost": ["127.0.0.1"],
    "localtest.example": ["127.0.0.1"],
    "localtest6.example": ["::1"],
    "unspecified.example": ["0.0.0.0"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::1"],
    "zone.example": ["fe80::1%eth0"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "mixed6.example": [PUBLIC_V6, PUBLIC, "::1"],
    "many.example": [f"8.8.{i}.8" for i in range(65)],
    "none.example": [],
    "metadata.google.internal": ["169.254.169.254"],
    "xn--bcher-kva.example": ["127.0.0.1"],
    "public.example": [PUBLIC],
}


@pytest.fixture
def resolver() -> FakeResolver:
    fake = FakeResolver()
    for name, addresses in NAMES.items():
        fake.add(name, addresses)
    return fake


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def make_guarded(
    make_gateway: Any, resolver: FakeResolver, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Make a gateway that asks the fake resolver and goes through the fake network."""
    monkeypatch.setattr(
        gateway.app, "ImageFetcher", partial(ImageFetcher, resolve=resolver, network=network, ssl_context=TRUST)
    )
    return partial(make_gateway, fetch_connect_timeout=5)


@pytest.fixture
async def guarded(make_guarded: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with make_guarded() as client:
        yield client

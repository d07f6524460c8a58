"""The egress guard: which addresses it connects to, allowed hosts, DNS rebinding and timeouts."""

import asyncio
from functools import partial
from typing import Any

import httpcore
import httpx
import pytest

import gateway.app
from gateway.images.addresses import AllowList
from gateway.images.egress_guard import EgressGuard
from gateway.images.fetch import ImageFetcher
from tests.gateway.images.fake_network import PUBLIC, PUBLIC_V6, FakeNetwork, FakeResolver
from tests.gateway.images.guarded import ADDRESS, NAME, SPELLING, port_of, post, refused


async def test_a_public_host_is_asked_by_its_name_at_the_checked_address(  # noqa: PLR0917 - fixtures
    guarded: httpx.AsyncClient, web: Any, network: FakeNetwork, resolver: FakeResolver, triton: Any, image: bytes
) -> None:
    port = port_of(web)
    web.image("/a.jpg?x=%20y", image)
    for host in ("public.example", "PUBLIC.example.", "8.8.8.8", "[::ffff:8.8.8.8]", f"[{PUBLIC_V6}]"):
        response = await post(guarded, f"http://{host}:{port}/a.jpg?x= y#there")
        assert response.status_code == 200, response.text
    assert network.connected == [(PUBLIC, port)] * 4 + [(PUBLIC_V6, port)]
    assert resolver.asked == ["public.example"] * 2
    assert [head.split(b"\r\n")[1] for head in web.requests] == [
        f"Host: {host}:{port}".encode()
        for host in ("public.example", "public.example", "8.8.8.8", "8.8.8.8", f"[{PUBLIC_V6}]")
    ]
    assert triton.images == [image] * 5


async def test_rebinding(
    guarded: httpx.AsyncClient, web: Any, network: FakeNetwork, resolver: FakeResolver, image: bytes
) -> None:
    """The first lookup gives a public address, later ones loopback: one lookup, and a connection to what it gave."""
    port = port_of(web)
    web.image("/a.jpg", image)
    resolver.add("rebind.example", [PUBLIC], ["127.0.0.1"])
    assert (await post(guarded, f"http://rebind.example:{port}/a.jpg")).status_code == 200
    assert resolver.asked == ["rebind.example"]
    assert network.connected == [(PUBLIC, port)]
    assert await refused(guarded, f"http://rebind.example:{port}/a.jpg") == NAME
    assert len(web.requests) == 1


async def test_rebinding_between_two_hops(
    guarded: httpx.AsyncClient, web: Any, network: FakeNetwork, resolver: FakeResolver, image: bytes
) -> None:
    port = port_of(web)
    web.image("/a.jpg", image)
    web.answer("/away", "HTTP/1.1 302 Found\nLocation: /a.jpg\nContent-Length: 0")
    resolver.add("rebind.example", [PUBLIC], ["127.0.0.1"])
    assert await refused(guarded, f"http://rebind.example:{port}/away") == NAME
    assert network.connected == [(PUBLIC, port)]
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("allow", "host"),
    [
        ("localtest.example", "localtest.example"),
        ("LocalTest.Example", "localtest.example."),
        ("*.example", "localtest.example"),
        ("bücher.example", "bücher.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "[::ffff:127.0.0.1]"),
        ("other.example, 127.0.0.0/8", "localtest.example"),
        ("127.0.0.0/8", "mapped.example"),
        ("127.0.0.0/8", "mixed.example"),
    ],
)
async def test_allowed(  # noqa: PLR0917 - fixtures
    make_guarded: Any, web: Any, network: FakeNetwork, image: bytes, allow: str, host: str
) -> None:
    web.image("/a.jpg", image)
    async with make_guarded(fetch_allow=allow) as client:
        response = await post(client, f"http://{host}:{port_of(web)}/a.jpg")
    assert response.status_code == 200, response.text
    assert len(network.connected) == 1


@pytest.mark.parametrize(
    ("allow", "host", "message"),
    [
        ("localtest.example", "127.0.0.1", ADDRESS),
        ("*.localtest.example", "localtest.example", NAME),
        ("test.example", "localtest.example", NAME),
        ("10.0.0.0/8", "localtest.example", NAME),
        ("10.0.0.0/8", "mixed.example", NAME),
        ("127.0.0.0/8", "mixed6.example", NAME),
        ("127.0.0.0/8", "[::1]", ADDRESS),
        ("127.0.0.0/8", "nat64.example", NAME),
        ("127.0.0.0/8", "2130706433", SPELLING),
    ],
)
async def test_not_allowed(make_guarded: Any, network: FakeNetwork, allow: str, host: str, message: str) -> None:
    async with make_guarded(fetch_allow=allow) as client:
        assert message in await refused(client, f"http://{host}/a.jpg")
    assert network.connected == []


async def test_an_allowed_host_may_be_asked_at_any_port(make_guarded: Any, network: FakeNetwork) -> None:
    network.dead.add("127.0.0.1")
    async with make_guarded(fetch_allow="127.0.0.1") as client:
        assert "cannot be connected to" in await refused(client, "http://127.0.0.1:81/a.jpg")
    assert network.connected == [("127.0.0.1", 81)]


async def test_an_allowed_host_does_not_lead_further(make_guarded: Any, web: Any, network: FakeNetwork) -> None:
    port = port_of(web)
    url = web.answer("/away", f"HTTP/1.1 302 Found\nLocation: http://[::1]:{port}/\nContent-Length: 0")
    async with make_guarded(fetch_allow="127.0.0.1") as client:
        assert await refused(client, url) == ADDRESS
    assert network.connected == [("127.0.0.1", port)]


async def test_a_name_server_that_stays_silent(
    make_gateway: Any, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: str) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(gateway.app, "ImageFetcher", partial(ImageFetcher, resolve=never, network=network))
    async with make_gateway(fetch_connect_timeout=0.2) as client:
        assert "could not be connected to in time" in await refused(client, "http://public.example/")
    assert network.connected == []


async def test_the_next_address_is_tried() -> None:
    network, resolver = FakeNetwork(), FakeResolver()
    v4, v6 = [f"8.8.4.{i}" for i in range(1, 6)], [f"2606::{i}" for i in range(1, 6)]
    network.dead = {*v4, *v6}
    resolver.add("dead.example", v6 + v4)
    guard = EgressGuard(AllowList(), resolver, network)
    with pytest.raises(httpcore.ConnectError):
        await guard.connect_tcp("dead.example", 80, timeout=5)
    assert [host for host, _ in network.connected] == ["2606::1", "8.8.4.1", "2606::2", "8.8.4.2"]


async def test_a_silent_address_leaves_time_for_the_next_one() -> None:
    class Silent(FakeNetwork):
        async def connect_tcp(self, host: str, port: int, timeout: float = 0, *_: Any, **__: Any) -> Any:  # noqa: ASYNC109
            self.connected.append((host, port))
            if host == PUBLIC:
                return httpcore.AsyncMockStream([])
            assert 0 < timeout < 0.6
            await asyncio.sleep(timeout)
            raise httpcore.ConnectTimeout

    network, resolver = Silent(), FakeResolver()
    resolver.add("half.example", [PUBLIC_V6, PUBLIC])
    stream = await EgressGuard(AllowList(), resolver, network).connect_tcp("half.example", 443, timeout=1)
    assert isinstance(stream, httpcore.AsyncMockStream)
    assert network.connected == [(PUBLIC_V6, 443), (PUBLIC, 443)]


async def test_the_guard_makes_nothing_but_checked_connections() -> None:
    guard = EgressGuard(AllowList(), FakeResolver(), FakeNetwork())
    with pytest.raises(NotImplementedError):
        await guard.connect_unix_socket("/run/docker.sock")

"""Hostile URLs: none of them reaches the server on loopback, and none says what is there."""

import asyncio
import logging
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gateway.app
from gateway.app import fetch_options
from gateway.errors import InputError
from gateway.images.addresses import AllowList, is_global
from gateway.images.egress_guard import EgressGuard
from gateway.images.fetch import ImageFetcher
from gateway.settings import Settings
from tests.gateway.images.fake_network import PUBLIC, PUBLIC_V6, FakeNetwork, FakeResolver

OPTIONS = fetch_options(Settings())

PATH = "/small-object-detection"
ADDRESS = "The image URL leads to an address that is not public; only public addresses are fetched from"
NAME = (
    "The image URL's host is not known, or not all of its addresses are public; only public addresses are fetched from"
)
SPELLING = "is no host name; addresses are written as 192.0.2.1"
TRUST = ssl.create_default_context()

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

# URL → its sentence, or a part of it. PORT is that of a server on loopback.
HOSTILE = {
    # Addresses in every spelling.
    "http://127.0.0.1:PORT/a.jpg": ADDRESS,
    "http://127.0.0.1:1/a.jpg": ADDRESS,  # nobody listens, and the answer is the same
    "https://127.0.0.1:PORT/a.jpg": ADDRESS,
    "HTTP://127.0.0.1:PORT/a.jpg": ADDRESS,
    "http://127.0.0.1.:PORT/a.jpg": ADDRESS,
    "http://127.255.255.254:PORT/": ADDRESS,
    "http://2130706433:PORT/": SPELLING,
    "http://017700000001:PORT/": SPELLING,
    "http://0x7f000001:PORT/": SPELLING,
    "http://0X7F000001:PORT/": SPELLING,
    "http://0177.0.0.1:PORT/": "Invalid IPv4 address",
    "http://127.0.0.01:PORT/": "Invalid IPv4 address",
    "http://0x7f.0.0.1:PORT/": SPELLING,
    "http://127.0.0.0x1:PORT/": SPELLING,
    "http://127.1:PORT/": SPELLING,
    "http://127.0.1:PORT/": SPELLING,
    "http://127.1.:PORT/": SPELLING,
    "http://383.0.0.1:PORT/": "Invalid IPv4 address",
    "http://4294967297:PORT/": SPELLING,
    "http://0:PORT/": SPELLING,
    "http://0.0.0.0:PORT/": ADDRESS,
    "http://127。0。0。1:PORT/": ADDRESS,
    "http://127\uff0e0\uff0e0\uff0e1:PORT/": ADDRESS,
    "http://\uff11\uff12\uff17.0.0.1:PORT/": "Invalid IDNA hostname",
    "http://①②⑦.⓪.⓪.①:PORT/": "Invalid IDNA hostname",
    "http://%31%32%37.0.0.1:PORT/": "is no host name",
    "http://127.0.0.1%00.example:PORT/": "is no host name",
    "http://127.0.0.1%2f.example:PORT/": "is no host name",
    "http://[::1]:PORT/": ADDRESS,
    "http://[0:0:0:0:0:0:0:1]:PORT/": ADDRESS,
    "http://[::]:PORT/": ADDRESS,
    "http://[::ffff:127.0.0.1]:PORT/": ADDRESS,
    "http://[::ffff:7f00:1]:PORT/": ADDRESS,
    "http://[::FFFF:7F00:0001]:PORT/": ADDRESS,
    "http://[::127.0.0.1]:PORT/": ADDRESS,
    "http://[64:ff9b::127.0.0.1]:PORT/": ADDRESS,
    "http://[64:ff9b:1::127.0.0.1]:PORT/": ADDRESS,
    "http://[2002:7f00:1::]:PORT/": ADDRESS,
    "http://[2001::1]:PORT/": ADDRESS,
    "http://[fe80::1%25eth0]:PORT/": "an IPv6 address with a zone",
    "http://[fe80::1%eth0]:PORT/": "an IPv6 address with a zone",
    "http://[::1%25lo]:PORT/": "an IPv6 address with a zone",
    "http://[fec0::1]:PORT/": ADDRESS,
    "http://[fd00:ec2::254]/latest/meta-data/": ADDRESS,
    "http://[ff02::1]:PORT/": ADDRESS,
    "http://[127.0.0.1]:PORT/": "Invalid IPv6 address",
    "http://[::1": "not valid",
    "http://::1:PORT/": "not valid",
    "http://10.0.0.1:PORT/": ADDRESS,
    "http://172.16.0.1:PORT/": ADDRESS,
    "http://192.168.1.1/": ADDRESS,
    "http://100.64.0.1/": ADDRESS,
    "http://169.254.169.254/latest/meta-data/": ADDRESS,
    "http://100.100.100.200/latest/meta-data/": ADDRESS,
    "http://168.63.129.16/metadata": ADDRESS,
    "http://192.0.0.192/opc/v2/": ADDRESS,
    "http://192.0.2.1/": ADDRESS,
    "http://224.0.0.1:PORT/": ADDRESS,
    "http://255.255.255.255:PORT/": ADDRESS,
    # Names.
    "http://localhost:PORT/": NAME,
    "http://LOCALHOST.:PORT/": NAME,
    "http://localtest.example:PORT/": NAME,
    "http://localtest6.example:PORT/": NAME,
    "http://unspecified.example:PORT/": NAME,
    "http://mapped.example:PORT/": NAME,
    "http://nat64.example:PORT/": NAME,
    "http://sixtofour.example:PORT/": NAME,
    "http://zone.example:PORT/": NAME,
    "http://mixed.example:PORT/": NAME,
    "http://mixed6.example:PORT/": NAME,
    "http://many.example:PORT/": NAME,
    "http://none.example:PORT/": NAME,
    "http://unknown.example:PORT/": NAME,
    "http://metadata.google.internal/computeMetadata/v1/": NAME,
    "http://bücher.example:PORT/": NAME,
    # URLs that readers disagree on.
    "http://user@127.0.0.1:PORT/": "user name or password",
    "http://user:secret@public.example:PORT/": "user name or password",
    "http://public.example@127.0.0.1:PORT/": "user name or password",
    "http://public.example:80@127.0.0.1:PORT/": "user name or password",
    "http://public.example\\@127.0.0.1:PORT/": "user name or password",
    "http://127.0.0.1:PORT\\@public.example/": "user name or password",
    "http://127.0.0.1:PORT#@public.example/": ADDRESS,
    "http://127.0.0.1:PORT?@public.example/": ADDRESS,
    "http://127.0.0.1\\.public.example:PORT/": "is no host name",
    "http://public.example\r\nHost: 127.0.0.1/": "non-printable",
    "http://public.example:PORT/\r\n\r\nGET / HTTP/1.1": "non-printable",
    "http://public.\texample:PORT/": "non-printable",
    "http://public.example:PORT/\x00": "non-printable",
    "http://pub lic.example:PORT/": "is no host name",
    "http://public..example:PORT/": "is no host name",
    "http://.public.example:PORT/": "is no host name",
    f"http://{'a' * 64}.example:PORT/": "is no host name",
    f"http://{'a.' * 200}example:PORT/": "is no host name",
    "http://public.example:PORT/" + "a" * 8192: "the limit is 8,192",
    "http:///a.jpg": "names no host",
    "http://": "names no host",
    "http:127.0.0.1:PORT/": "names no host",
    "http://:PORT/": "names no host",
    # Ports.
    "http://public.example:0/": "names the port 0",
    "http://public.example:99999/": "names the port 99999",
    "http://public.example:-80/": "names the port -80",
    "http://public.example:22/": "leads to the port 22; the ports fetched from are 80, 443 and 1024 to 65535",
    "http://8.8.8.8:25/": "leads to the port 25",
    "http://public.example:http/": "Invalid port",
    f"http://public.example:{'9' * 5000}/": "Invalid port",
    # Schemes.
    "file:///etc/passwd": "scheme 'file', which is not fetched",
    "file://127.0.0.1/etc/passwd": "scheme 'file', which is not fetched",
    "ftp://public.example/a.jpg": "scheme 'ftp', which is not fetched",
    "gopher://127.0.0.1:PORT/_GET%20/": "scheme 'gopher', which is not fetched",
    "dict://127.0.0.1:PORT/": "scheme 'dict', which is not fetched",
    "data:image/jpeg,abc": "data: URL without base64",
    "unix:///run/docker.sock": "scheme 'unix', which is not fetched",
}

# Where a public host redirects to → the sentence.
REDIRECTS = {
    "http://127.0.0.1:PORT/a.jpg": ADDRESS,
    "//127.0.0.1:PORT/a.jpg": ADDRESS,
    "http://[::1]:PORT/a.jpg": ADDRESS,
    "http://169.254.169.254/latest/meta-data/": ADDRESS,
    "http://2130706433:PORT/": SPELLING,
    "http://localtest.example:PORT/a.jpg": NAME,
    "http://mixed.example:PORT/a.jpg": NAME,
    "http://user:secret@public.example:PORT/a.jpg": "user name or password",
    "http://public.example:22/": "leads to the port 22",
    "http://public.example:0/": "names the port 0",
    "file:///etc/passwd": "leads to the scheme 'file'",
    "ftp://public.example/a.jpg": "leads to the scheme 'ftp'",
    "gopher://127.0.0.1:PORT/_GET": "leads to the scheme 'gopher'",
    "data:image/jpeg;base64,AAAA": "leads to the scheme 'data'",
    "http://[::1": "not valid",
    "http://public.example:PORT/\x01": "non-printable",
    "http://public.example:PORT/" + "a" * 70_000: "bytes of response headers",
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


async def post(client: httpx.AsyncClient, url: str) -> httpx.Response:
    async with asyncio.timeout(60):
        return await client.post(PATH, json={"image": url, "logId": "mine", "visualize": False})


async def refused(client: httpx.AsyncClient, url: str) -> str:
    answer = await post(client, url)
    assert answer.status_code == 422, answer.text
    document = answer.json()
    assert set(document) == {"logId", "errorCode", "errorMsg"}
    assert (document["logId"], document["errorCode"]) == ("mine", 422)
    message: str = document["errorMsg"]
    assert len(message) < 300
    return message


def port_of(web: Any) -> int:
    port = urlsplit(web.url).port
    assert port is not None
    return port


@pytest.mark.parametrize("url", HOSTILE, ids=lambda url: ascii(url[:60]))
async def test_a_hostile_url_reaches_nothing(
    guarded: httpx.AsyncClient, web: Any, network: FakeNetwork, image: bytes, url: str
) -> None:
    web.image("/", image)
    web.image("/a.jpg", image)
    message = await refused(guarded, url.replace("PORT", str(port_of(web))))
    assert HOSTILE[url] in message
    if HOSTILE[url] in (ADDRESS, NAME):
        assert message == HOSTILE[url]  # and not a word more
    assert network.connected == []
    assert web.requests == []


@pytest.mark.parametrize("location", REDIRECTS, ids=lambda location: ascii(location[:60]))
async def test_a_redirect_is_checked_as_the_first_url(
    guarded: httpx.AsyncClient, web: Any, network: FakeNetwork, image: bytes, location: str
) -> None:
    port = port_of(web)
    web.image("/a.jpg", image)
    web.answer("/away", f"HTTP/1.1 302 Found\nLocation: {location.replace('PORT', str(port))}\nContent-Length: 0")
    message = await refused(guarded, f"http://public.example:{port}/away")
    assert REDIRECTS[location] in message
    assert network.connected == [(PUBLIC, port)]
    assert len(web.requests) == 1


async def test_nothing_tells_an_open_port_from_a_closed_one(
    guarded: httpx.AsyncClient, web: Any, free_ports: Callable[[int], list[int]]
) -> None:
    for host in ("127.0.0.1", "localtest.example"):
        answers = [await refused(guarded, f"http://{host}:{port}/") for port in (port_of(web), *free_ports(1), 22)]
        assert len(set(answers)) == 1
    # Nor a name that the inner network knows from one that it does not.
    assert await refused(guarded, "http://localtest.example/") == await refused(guarded, "http://unknown.example/")


async def test_a_refusal_is_logged_with_its_addresses(
    guarded: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gateway"):
        await refused(guarded, "http://mixed.example/secret?token=abc")
        await refused(guarded, "http://unknown.example/")
    first, second = [record.getMessage() for record in caplog.records]
    assert "mixed.example" in first
    assert f"{PUBLIC}, 127.0.0.1" in first
    assert "unknown.example" in second
    assert "token" not in first


async def test_a_public_host_is_asked_by_its_name_at_the_checked_address(  # noqa: PLR0917 - fixtures
    guarded: httpx.AsyncClient, web: Any, network: FakeNetwork, resolver: FakeResolver, triton: Any, image: bytes
) -> None:
    port = port_of(web)
    web.image("/a.jpg?x=%20y", image)
    for host in ("public.example", "PUBLIC.example.", "8.8.8.8", "[::ffff:8.8.8.8]", f"[{PUBLIC_V6}]"):
        answer = await post(guarded, f"http://{host}:{port}/a.jpg?x= y#there")
        assert answer.status_code == 200, answer.text
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
    """The first answer is public, every later one is loopback: asked once, connected to what was checked."""
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
        answer = await post(client, f"http://{host}:{port_of(web)}/a.jpg")
    assert answer.status_code == 200, answer.text
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


# TLS: the connection goes to the checked address, everything else by the name.


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for secure.example, its key and the authority that signed it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not on this machine")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(
        *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-addext", "keyUsage=critical,keyCertSign"
    )
    openssl(
        *new,
        *("-keyout", "key.pem", "-out", "cert.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=secure.example"),
        *("-addext", "subjectAltName=DNS:secure.example", "-addext", "basicConstraints=critical,CA:FALSE"),
    )
    return folder


@pytest.fixture
async def secure(certificates: Path, web: Any) -> AsyncIterator[tuple[int, list[str]]]:
    """The web server behind TLS: its port, and the names that clients asked for (SNI)."""
    names: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    context.sni_callback = lambda _, name, __: names.append(name)
    listener = await asyncio.start_server(web.serve, "127.0.0.1", 0, ssl=context)
    yield listener.sockets[0].getsockname()[1], names
    listener.close()
    await web.close()
    await listener.wait_closed()


@pytest.fixture
async def fetcher(certificates: Path, resolver: FakeResolver, network: FakeNetwork) -> AsyncIterator[ImageFetcher]:
    """Trusts the test's authority."""
    trust = ssl.create_default_context(cafile=certificates / "ca.pem")
    resolver.add("secure.example", [PUBLIC])
    resolver.add("insecure.example", [PUBLIC])
    settings = Settings(fetch_connect_timeout=30, fetch_read_timeout=30, fetch_total_timeout=60)
    async with ImageFetcher(fetch_options(settings), resolve=resolver, network=network, ssl_context=trust) as fetcher:
        yield fetcher


async def test_tls_goes_by_the_name(
    fetcher: ImageFetcher, secure: tuple[int, list[str]], web: Any, network: FakeNetwork, image: bytes
) -> None:
    port, names = secure
    web.image("/a.jpg", image)
    assert await fetcher.fetch(f"https://Secure.example.:{port}/a.jpg") == image
    assert names == ["secure.example"]
    assert network.connected == [(PUBLIC, port)]
    assert web.requests[0].split(b"\r\n")[1] == f"Host: secure.example:{port}".encode()


@pytest.mark.parametrize("host", ["insecure.example", PUBLIC])
async def test_a_certificate_for_another_name(
    fetcher: ImageFetcher, secure: tuple[int, list[str]], web: Any, host: str
) -> None:
    with pytest.raises(InputError, match="no certificate for its name that is trusted"):
        await fetcher.fetch(f"https://{host}:{secure[0]}/a.jpg")
    assert web.requests == []


async def test_a_certificate_of_nobody_we_trust(
    resolver: FakeResolver, network: FakeNetwork, secure: tuple[int, list[str]], web: Any
) -> None:
    resolver.add("secure.example", [PUBLIC])
    settings = Settings(fetch_connect_timeout=30, fetch_total_timeout=60)
    async with ImageFetcher(fetch_options(settings), resolve=resolver, network=network) as fetcher:
        with pytest.raises(InputError, match="no certificate for its name that is trusted"):
            await fetcher.fetch(f"https://secure.example:{secure[0]}/a.jpg")
    assert web.requests == []


async def test_no_tls_where_it_is_asked_for(fetcher: ImageFetcher) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as listener:
        with pytest.raises(InputError, match="cannot be connected to"):
            await fetcher.fetch(f"https://secure.example:{listener.sockets[0].getsockname()[1]}/a.jpg")


async def test_from_https_to_http(fetcher: ImageFetcher, secure: tuple[int, list[str]], web: Any, image: bytes) -> None:
    web.image("/a.jpg", image)
    web.answer("/down", f"HTTP/1.1 302 Found\nLocation: http://public.example:{port_of(web)}/a.jpg\nContent-Length: 0")
    web.answer("/up", f"HTTP/1.1 302 Found\nLocation: https://secure.example:{secure[0]}/a.jpg\nContent-Length: 0")
    with pytest.raises(InputError, match="from https to http"):
        await fetcher.fetch(f"https://secure.example:{secure[0]}/down")
    assert len(web.requests) == 1
    assert await fetcher.fetch(f"http://public.example:{port_of(web)}/up") == image


# Every spelling of every address that is not public.


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

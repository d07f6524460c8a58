"""Hostile URLs: none of them reaches the server on loopback, and no error message tells what is there."""

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.gateway.images.fake_network import PUBLIC, FakeNetwork
from tests.gateway.images.guarded import ADDRESS, NAME, SPELLING, port_of, refused

# URL → its sentence, or a part of it. PORT is that of a server on loopback.
HOSTILE = {
    # Addresses in every spelling.
    "http://127.0.0.1:PORT/a.jpg": ADDRESS,
    "http://127.0.0.1:1/a.jpg": ADDRESS,  # nobody listens, and the response is the same
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

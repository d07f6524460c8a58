"""HTTPS: the connection goes to the checked address; the certificate is checked against the host name."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.app import fetch_options
from gateway.errors import InputError
from gateway.images.fetch import ImageFetcher
from gateway.settings import Settings
from tests.gateway.images.fake_network import PUBLIC, FakeNetwork, FakeResolver
from tests.gateway.images.guarded import port_of


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

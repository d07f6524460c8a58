"""Images from URLs, against a server that misbehaves in every way it can."""

import asyncio
import contextlib
import gzip
import re
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app import fetch_options
from gateway.errors import InputError
from gateway.images.fetch import ImageFetcher
from gateway.settings import Settings

OPTIONS = fetch_options(Settings())

PATH = "/small-object-detection"


@pytest.fixture
async def gateway(make_gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with make_gateway(fetch_allow="127.0.0.1") as client:
        yield client


@pytest.fixture
async def impatient(make_gateway: Any, image: bytes) -> AsyncIterator[httpx.AsyncClient]:
    async with make_gateway(
        fetch_allow="127.0.0.1",
        max_image_bytes=len(image) + 50,
        fetch_connect_timeout=1,
        fetch_read_timeout=0.2,
        fetch_total_timeout=0.6,
        fetch_max_redirects=2,
    ) as client:
        yield client


async def refused(gateway: httpx.AsyncClient, url: str, status: int = 422) -> str:
    response = await gateway.post(PATH, json={"image": url, "logId": "mine"})
    document = response.json()
    assert response.status_code == status, response.text
    assert (document["errorCode"], document["logId"]) == (status, "mine")
    message: str = document["errorMsg"]
    assert "http://" not in message  # not the address, with what secrets it holds
    return message


async def test_image(gateway: httpx.AsyncClient, triton: Any, web: Any, image: bytes) -> None:
    url = web.image("/a.jpg?size=1", image)
    for text in (url, f"  {url}\n", url.replace("http", "HTTP", 1)):
        response = await gateway.post(PATH, json={"image": text})
        assert response.status_code == 200, response.text
        assert response.json()["result"]["image"]
    assert triton.images == [image] * 3


async def test_chunked_image(gateway: httpx.AsyncClient, triton: Any, web: Any, image: bytes) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (image[:100], image[100:])) + b"0\r\n\r\n"
    url = web.answer("/a.jpg", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked", body)
    assert (await gateway.post(PATH, json={"image": url})).status_code == 200
    assert triton.images == [image]


@pytest.mark.parametrize("status", [206, 304, 403, 404, 500])
async def test_other_statuses(impatient: httpx.AsyncClient, web: Any, status: int) -> None:
    url = web.answer("/a.jpg", f"HTTP/1.1 {status} <b>Whatever</b>\nContent-Length: 0")
    assert await refused(impatient, url) == f"The image URL's host answered with status {status}"


@pytest.mark.parametrize("status", [200, 201, 203, 226])
async def test_every_success_gives_the_image(
    impatient: httpx.AsyncClient, triton: Any, web: Any, image: bytes, status: int
) -> None:
    url = web.answer("/a.jpg", f"HTTP/1.1 {status} Fine\nContent-Length: {len(image)}", image)
    assert (await impatient.post(PATH, json={"image": url})).status_code == 200
    assert triton.images == [image]


async def test_a_success_without_content(impatient: httpx.AsyncClient, web: Any) -> None:
    assert "empty" in await refused(impatient, web.answer("/a.jpg", "HTTP/1.1 204 No Content"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects(impatient: httpx.AsyncClient, triton: Any, web: Any, image: bytes, status: int) -> None:
    web.answer("/one", f"HTTP/1.1 {status} X\nLocation: /two\nContent-Length: 0")
    web.answer("/two", f"HTTP/1.1 {status} X\nLocation: {web.image('/a.jpg', image)}\nContent-Length: 0")
    response = await impatient.post(PATH, json={"image": web.url + "/one"})
    assert response.status_code == 200, response.text
    assert triton.images == [image]


async def test_redirect_loop(impatient: httpx.AsyncClient, web: Any) -> None:
    url = web.answer("/loop", "HTTP/1.1 302 Found\nLocation: /loop\nContent-Length: 0")
    assert "more than 2 times" in await refused(impatient, url)
    assert len(web.requests) == 3


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a.jpg", "gopher://127.0.0.1/a.jpg"])
async def test_redirect_to_another_scheme(impatient: httpx.AsyncClient, web: Any, location: str) -> None:
    url = web.answer("/away", f"HTTP/1.1 302 Found\nLocation: {location}\nContent-Length: 0")
    assert "only http and https" in await refused(impatient, url)


async def test_announced_too_long(impatient: httpx.AsyncClient, web: Any) -> None:
    url = web.answer("/big", "HTTP/1.1 200 OK\nContent-Length: 999999999999")
    assert "larger than" in await refused(impatient, url, 413)


@pytest.mark.parametrize(
    ("beginning", "status", "words"),
    [(b"\xff\xd8\xff", 413, "larger than"), (b"\x1f\x8b\x08", 422, "not an image: it begins as none of")],
)
async def test_endless_body(impatient: httpx.AsyncClient, web: Any, beginning: bytes, status: int, words: str) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + beginning)
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()
            await asyncio.sleep(0)

    assert words in await refused(impatient, web.handle("/endless", endless), status)


async def test_slow_headers(impatient: httpx.AsyncClient, web: Any) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Slow: 1\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    assert "within 0.6 s" in await refused(impatient, web.handle("/drip", drip))


async def test_endless_headers(impatient: httpx.AsyncClient, web: Any) -> None:
    url = web.answer("/heads", "HTTP/1.1 200 OK" + "\nX-More: " + "x" * 1_000_000)
    assert "bytes of response headers" in await refused(impatient, url)


@pytest.mark.parametrize("length", ["-1", "many", "12, 13", "9" * 5000])
async def test_content_length_that_is_none(impatient: httpx.AsyncClient, web: Any, length: str) -> None:
    url = web.answer("/a.jpg", f"HTTP/1.1 200 OK\nContent-Length: {length}", b"x" * 20)
    assert "not HTTP" in await refused(impatient, url)


async def test_a_page_is_not_read(impatient: httpx.AsyncClient, web: Any) -> None:
    url = web.answer("/", "HTTP/1.1 200 OK\nContent-Type: Text/HTML; charset=utf-8\nContent-Length: 99999999999")
    assert "a page (HTML), not to an image" in await refused(impatient, url)
    url = web.answer("/", "HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 99", b"<!doctype html><title>Log")
    assert "a page (HTML), not to an image" in await refused(impatient, url)


async def test_a_scheme_in_capitals(gateway: httpx.AsyncClient, web: Any, image: bytes) -> None:
    url = web.image("/a.jpg", image).replace("http", "HTTP")
    response = await gateway.post(PATH, json={"image": url})
    assert response.status_code == 200, response.text


async def test_an_image_that_is_called_a_page(
    impatient: httpx.AsyncClient, triton: Any, web: Any, image: bytes
) -> None:
    url = web.answer("/a", f"HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: {len(image)}", image)
    response = await impatient.post(PATH, json={"image": url})
    assert response.status_code == 200, response.text
    assert triton.images == [image]


async def test_silent_host(impatient: httpx.AsyncClient, web: Any) -> None:
    async def silent(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    assert "in time" in await refused(impatient, web.handle("/silent", silent))


async def test_dripping_body(impatient: httpx.AsyncClient, web: Any) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n\xff\xd8\xff")
        while True:  # never silent for as long as the read timeout
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    assert "within 0.6 s" in await refused(impatient, web.handle("/drip", drip))


async def test_body_that_breaks_off(impatient: httpx.AsyncClient, web: Any) -> None:
    url = web.answer("/short", "HTTP/1.1 200 OK\nContent-Length: 100", b"x" * 10)
    assert "broke off" in await refused(impatient, url)


async def test_not_http(impatient: httpx.AsyncClient, web: Any) -> None:
    assert "not HTTP" in await refused(impatient, web.answer("/ssh", "SSH-2.0-OpenSSH_9.2"))


async def test_not_an_image(impatient: httpx.AsyncClient, triton: Any, web: Any) -> None:
    url = web.image("/a.jpg", b"<!doctype html><title>Please log in</title>")
    assert "not an image" in await refused(impatient, url)
    assert "empty" in await refused(impatient, web.image("/empty.jpg", b""))
    assert triton.images == []


async def test_too_many_pixels(make_gateway: Any, web: Any, image: bytes) -> None:
    async with make_gateway(fetch_allow="127.0.0.1", max_image_pixels=7999) as gateway:
        assert "7,999" in await refused(gateway, web.image("/a.jpg", image))


def zipped(web: Any, body: bytes, encoding: str = "gzip") -> str:
    head = f"HTTP/1.1 200 OK\nContent-Encoding: {encoding}\nContent-Length: {len(body)}"
    return str(web.answer("/zipped.jpg", head, body))


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
async def test_a_zipped_image(impatient: httpx.AsyncClient, triton: Any, web: Any, image: bytes, encoding: str) -> None:
    response = await impatient.post(PATH, json={"image": zipped(web, gzip.compress(image), encoding)})
    assert response.status_code == 200, response.text
    assert triton.images == [image]
    assert b"accept-encoding: identity" in web.requests[0].lower()  # gzip is accepted, but not asked for


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip"])
async def test_other_compressions(impatient: httpx.AsyncClient, web: Any, image: bytes, encoding: str) -> None:
    message = await refused(impatient, zipped(web, gzip.compress(image), encoding))
    assert f"Content-Encoding '{encoding}'; only gzip is accepted" in message


async def test_damaged_gzip(impatient: httpx.AsyncClient, web: Any, image: bytes) -> None:
    assert "is not gzip" in await refused(impatient, zipped(web, image))
    assert "ends too early" in await refused(impatient, zipped(web, gzip.compress(image)[:-9]))


async def test_a_gzip_bomb_ends_at_the_limit(make_gateway: Any, web: Any) -> None:
    bomb = gzip.compress(b"\xff\xd8\xff" + bytes(100_000_000), 1)
    assert len(bomb) < 1_000_000
    async with make_gateway(fetch_allow="127.0.0.1", max_image_bytes=5_000_000) as gateway:
        tracemalloc.start()
        try:
            assert "larger than 5,000,000 bytes" in await refused(gateway, zipped(web, bomb), 413)
            assert tracemalloc.get_traced_memory()[1] < 40_000_000
        finally:
            tracemalloc.stop()


async def test_connection_refused(impatient: httpx.AsyncClient) -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "cannot be connected to" in await refused(impatient, f"http://127.0.0.1:{port}/a.jpg")


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///a.jpg", "http://[::1", "http://127.0.0.1:99999/", "https:a", f"http://{'a' * 70}.invalid/"],
)
async def test_urls_that_are_none(impatient: httpx.AsyncClient, url: str) -> None:
    assert "image URL" in await refused(impatient, url)


async def test_no_cookie_passes_from_one_fetch_to_the_next(
    gateway: httpx.AsyncClient, web: Any, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nor is a proxy taken from the environment
    head = f"HTTP/1.1 200 OK\nSet-Cookie: session=secret\nContent-Length: {len(image)}"
    url = web.answer("/a.jpg", head, image)
    for _ in range(2):
        assert (await gateway.post(PATH, json={"image": url})).status_code == 200
    assert not any(b"cookie" in request.lower() for request in web.requests)


async def test_fetching_can_be_switched_off(make_gateway: Any, web: Any, image: bytes, image64: str) -> None:
    url = web.image("/a.jpg", image)
    async with make_gateway(fetch_enabled=False, fetch_allow="127.0.0.1") as gateway:
        assert "fetches no images from URLs" in await refused(gateway, url)
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 200
    assert web.requests == []


async def test_no_more_fetches_at_once_than_set(make_gateway: Any, web: Any, image: bytes) -> None:
    under_way, most, two, go = 0, 0, asyncio.Event(), asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most >= 2:
            two.set()
        await go.wait()
        under_way -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(image) + image)

    url = web.handle("/slow", slow)
    async with make_gateway(fetch_allow="127.0.0.1", fetch_max_connections=2, fetch_read_timeout=60) as gateway:
        asked = [asyncio.create_task(gateway.post(PATH, json={"image": url})) for _ in range(5)]
        await two.wait()
        go.set()
        assert [(await task).status_code for task in asked] == [200] * 5
    assert most == 2


async def test_a_fetch_is_timed_once(gateway: httpx.AsyncClient, web: Any, image: bytes) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(image) + image)

    async def fetch_seconds() -> float:
        found = re.search(r'sod_stage_seconds_sum{stage="fetch"} (\S+)', (await gateway.get("/metrics")).text)
        return float(found[1]) if found else 0.0

    before = await fetch_seconds()
    response = await gateway.post(PATH, json={"image": web.handle("/slow", slow), "visualize": False})
    durations = dict(re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"]))
    counted = 1000 * (await fetch_seconds() - before)
    assert 190 <= float(durations["fetch"]) <= float(durations["total"])
    assert counted == pytest.approx(float(durations["fetch"]), abs=0.1)


TRUST = ssl.create_default_context()  # loading it anew for every example would take the test's time
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"


async def any_address(_: str) -> list[str]:
    return ["8.8.8.8"]


@given(st.sampled_from(["http:", "http://", "https://", "http://a@", "http://127.0.0.1", "http://8.8.8.8"]), st.text())
def test_any_url_is_fetched_or_refused(head: str, rest: str) -> None:
    """Whatever stands behind the scheme, nothing but an `InputError` comes out."""

    async def run() -> None:
        network = httpcore.AsyncMockBackend([ANSWER])
        async with ImageFetcher(
            fetch_options(Settings()), resolve=any_address, network=network, ssl_context=TRUST
        ) as fetcher:
            await fetcher.fetch(head + rest)

    with contextlib.suppress(InputError):
        asyncio.run(run())

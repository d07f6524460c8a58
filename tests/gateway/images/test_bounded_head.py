"""A host that never comes to its final response costs a few kilobytes, not seconds."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

PATH = "/small-object-detection"


def endless(piece: bytes, begin: bytes = b"") -> tuple[Callable[[asyncio.StreamWriter], Any], list[int]]:
    """A handler that sends `piece` over and over, and a count of the bytes that were taken."""
    sent = [0]

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(piece)
            await writer.drain()
            sent[0] += len(piece)

    return write, sent


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" * 50),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 200),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 4000),
    ],
    ids=["interim", "hints", "headers", "one header"],
)
async def test_a_head_without_end_is_cut(make_gateway: Any, web: Any, begin: bytes, piece: bytes) -> None:
    write, sent = endless(piece, begin)
    url = web.handle("/endless", write)
    async with make_gateway(fetch_allow="127.0.0.1", fetch_total_timeout=3600, fetch_read_timeout=3600) as gateway:
        gateway: httpx.AsyncClient
        response = await gateway.post(PATH, json={"image": url})
    assert response.status_code == 422
    assert "image URL" in response.json()["errorMsg"]
    assert sent[0] < 10_000_000  # what the sockets' buffers hold


async def test_interim_responses_before_an_image_pass(make_gateway: Any, web: Any, image: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(image)}\r\n\r\n".encode()

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + head + image)

    async with make_gateway(fetch_allow="127.0.0.1") as gateway:
        gateway: httpx.AsyncClient
        response = await gateway.post(PATH, json={"image": web.handle("/slow", write)})
    assert response.status_code == 200


async def test_a_body_larger_than_the_bound_of_the_head_passes(make_gateway: Any, web: Any, encode_image: Any) -> None:
    large = encode_image(".bmp", 300, 300)
    assert len(large) > 200_000
    async with make_gateway(fetch_allow="127.0.0.1") as gateway:
        gateway: httpx.AsyncClient
        response = await gateway.post(PATH, json={"image": web.image("/large.bmp", large)})
    assert response.status_code == 200

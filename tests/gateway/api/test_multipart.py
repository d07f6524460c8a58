"""Forms, byte by byte."""

import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.multipart import Part, read_parts
from gateway.api.validation import InvalidRequestError

TYPE = "multipart/form-data; boundary=edge"
FORM = (
    b"--edge\r\n"
    b'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    b"\xff\xd8\r\n--edg\r\n\r\xff\r\n--edge\r\n"
    b'Content-Disposition: form-data; name="threshold"\r\n\r\n0.5\r\n--edge\r\n'
    b'content-disposition: form-data; name="\xc3\xa9"\r\n\r\n\r\n--edge--\r\n'
)
PARTS = [
    Part("image", True, bytearray(b"\xff\xd8\r\n--edg\r\n\r\xff")),
    Part("threshold", False, bytearray(b"0.5")),
    Part("é", False, bytearray()),
]


async def read(body: bytes, *, size: int = 1 << 20, content_type: str = TYPE, max_parts: int = 9) -> list[Part]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]
        yield b""

    return await read_parts(content_type, chunks(), max_parts=max_parts)


async def refused(body: bytes, **options: object) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        await read(body, **options)  # type: ignore[arg-type]
    (issue,) = json.loads(str(caught.value))
    assert issue["loc"] == "body"
    return str(issue["msg"])


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1 << 20])
async def test_parts_whatever_the_chunks(size: int) -> None:
    assert await read(FORM, size=size) == PARTS


@pytest.mark.parametrize(
    ("headers", "is_file"),
    [
        (b'form-data; name="image"', False),
        (b'form-data; name="image"\r\nContent-Type: text/plain; charset=utf-8', False),
        (b'form-data; name="image"\r\nContent-Type: application/json', False),
        (b'form-data; name="image"; filename=""', True),
        (b"form-data; name=image; filename=a.txt\r\nContent-Type: text/plain", True),
        (b'form-data; name="image"\r\nContent-Type: IMAGE/png', True),
        (b'form-data; name="image"\r\nContent-Type: application/octet-stream', True),
    ],
)
async def test_what_is_a_file(headers: bytes, is_file: bool) -> None:
    body = b"--edge\r\nContent-Disposition: " + headers + b"\r\n\r\nx\r\n--edge--"
    assert await read(body) == [Part("image", is_file, bytearray(b"x"))]


async def test_what_ends_early_is_refused() -> None:
    end = FORM.rindex(b"--edge--") + len(b"--edge--")
    for length in range(end):
        assert "multipart/form-data" in await refused(FORM[:length])
    assert await read(FORM[:end]) == PARTS


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 1000],
)
async def test_no_usable_boundary(content_type: str) -> None:
    assert "oundary" in await refused(FORM, content_type=content_type)


@pytest.mark.parametrize(
    "body",
    [
        b'{"image": "abc"}',
        b"--other\r\n\r\n",
        FORM.replace(b'name="threshold"', b""),
        FORM.replace(b"Content-Type: image/jpeg", b"X: " + b"x" * 10_000),
        FORM.replace(b"Content-Type: image/jpeg", b"X: x\r\n" * 100 + b"X: x"),
        FORM.replace(b"Content-Type", b"Content\0Type"),
    ],
)
async def test_malformed(body: bytes) -> None:
    assert "not well-formed multipart/form-data: " in await refused(body)


async def test_the_number_of_parts_is_bounded_while_they_come() -> None:
    part = b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    assert len(await read(part * 9 + b"--edge--")) == 9
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield part

    with pytest.raises(InvalidRequestError, match="more than 9 parts"):
        await read_parts(TYPE, endless(), max_parts=9)
    assert taken <= 11


@given(st.binary(max_size=200), st.integers(1, 50))
async def test_any_content_comes_through(content: bytes, size: int) -> None:
    head = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    if b"\r\n--edge" in content:
        return
    assert await read(head + content + b"\r\n--edge--\r\n", size=size) == [Part("image", True, bytearray(content))]


@given(st.binary(max_size=100), st.integers(0, len(FORM)))
async def test_any_damage_is_parts_or_an_issue(noise: bytes, at: int) -> None:
    with contextlib.suppress(InvalidRequestError):
        await read(FORM[:at] + noise + FORM[at + len(noise) :], size=13)

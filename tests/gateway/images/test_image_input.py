"""What a request may call its image, short of a URL that is fetched."""

import base64
import binascii
import contextlib
import json
from collections.abc import Callable
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.request_body import parse_document, parse_request
from gateway.api.schemas import InferRequest
from gateway.api.validation import InvalidRequestError
from gateway.errors import InputError
from gateway.images.image_input import decode_base64

PATH = "/small-object-detection"


async def post(gateway: httpx.AsyncClient, image: str, **more: Any) -> httpx.Response:
    return await gateway.post(PATH, json={"image": image} | more)


async def refused(gateway: httpx.AsyncClient, image: str, status: int = 422, **more: Any) -> str:
    response = await post(gateway, image, **more)
    assert response.status_code == status, response.text
    assert response.json()["errorCode"] == status
    message: str = response.json()["errorMsg"]
    assert not message.startswith("[")  # a sentence
    return message


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
async def test_formats(gateway: httpx.AsyncClient, encode_image: Callable[..., bytes], suffix: str) -> None:
    data = encode_image(suffix)
    response = await post(gateway, base64.b64encode(data).decode())
    assert response.status_code == 200


async def test_wrapped_base64(gateway: httpx.AsyncClient, triton: Any, image: bytes) -> None:
    wrapped = base64.encodebytes(image).decode()
    assert "\n" in wrapped
    assert (await post(gateway, f" {wrapped}\r\n")).status_code == 200
    assert triton.images == [image]


async def test_data_url(gateway: httpx.AsyncClient, triton: Any, image: bytes, image64: str) -> None:
    for head in ("data:image/jpeg;base64,", "data:;base64,", "DATA:image/jpeg;name=a.jpg;BASE64,"):
        assert (await post(gateway, head + image64)).status_code == 200
    assert triton.images == [image] * 3
    assert "base64" in await refused(gateway, "data:image/svg+xml,%3Csvg%3E")


@pytest.mark.parametrize("extra", ["=", "==", "====", " \n", "=\r\n", "\n=\n"])
async def test_superfluous_padding(gateway: httpx.AsyncClient, triton: Any, image: bytes, extra: str) -> None:
    for cut in range(3):  # each number of `=` that is necessary
        data = image + bytes(cut)
        assert (await post(gateway, base64.b64encode(data).decode() + extra)).status_code == 200
        assert triton.images.pop() == data


@pytest.mark.parametrize("image", ["AAAA=\0", "AAAA==AAAA", "AAAA and more", "AAA", "AA=", "=", "A==="])
async def test_what_may_hide_a_mistake_is_refused(gateway: httpx.AsyncClient, image: str) -> None:
    assert "not valid base64" in await refused(gateway, image)


@pytest.mark.parametrize("image", ["%%%", "abc", "a.jpg", "/tmp/image.jpg", "ÄÖÜß", "AAAA=AAA"])
async def test_bad_base64(gateway: httpx.AsyncClient, triton: Any, image: str) -> None:
    message = await refused(gateway, image)
    assert "not valid base64" in message
    assert "http(s) URL" in message
    assert triton.images == []


@pytest.mark.parametrize("image", ["", "  \n", "data:image/png;base64,"])
async def test_empty(gateway: httpx.AsyncClient, image: str) -> None:
    assert "empty" in await refused(gateway, image)


@pytest.mark.parametrize("image", ["file:///etc/passwd", "ftp://host/a.jpg", "FILE:/etc/passwd", "gopher:x"])
async def test_other_schemes(gateway: httpx.AsyncClient, image: str) -> None:
    message = await refused(gateway, image)
    assert image.split(":", 1)[0].lower() in message
    assert "not fetched" in message


@pytest.mark.parametrize("visualize", [True, False])
async def test_not_an_image_never_reaches_triton(gateway: httpx.AsyncClient, triton: Any, visualize: bool) -> None:
    for data in (b"not an image at all", b"\xff\xd8\xff", b"GIF89a" + bytes(100), bytes(5000)):
        message = await refused(gateway, base64.b64encode(data).decode(), visualize=visualize)
        assert "JPEG" in message
    assert triton.asked == 0
    assert triton.images == []


@pytest.mark.parametrize("visualize", [True, False])
async def test_too_many_pixels(
    make_gateway: Any, triton: Any, encode_image: Callable[..., bytes], visualize: bool
) -> None:
    async with make_gateway(max_image_pixels=8000) as gateway:
        fits, over = (base64.b64encode(encode_image(".png", 80, width)).decode() for width in (100, 101))
        assert (await post(gateway, fits, visualize=visualize)).status_code == 200
        assert "8,000" in await refused(gateway, over, visualize=visualize)
    assert len(triton.images) == 1


async def test_too_many_bytes(make_gateway: Any, image: bytes, image64: str) -> None:
    async with make_gateway(max_image_bytes=len(image) - 1) as gateway:
        assert f"{len(image) - 1:,}" in await refused(gateway, image64, 413)
    async with make_gateway(max_image_bytes=len(image)) as gateway:
        assert (await post(gateway, image64)).status_code == 200


async def test_image_that_opens_but_does_not_decode(gateway: httpx.AsyncClient) -> None:
    """Here Triton would say so too; with the overlay the gateway says it itself."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    damaged = cv2.imencode(".png", noise)[1].tobytes()[:1000]
    assert "cannot be decoded" in await refused(gateway, base64.b64encode(damaged).decode(), visualize=True)


async def test_image_too_wide_for_a_jpeg_overlay(
    gateway: httpx.AsyncClient, encode_image: Callable[..., bytes]
) -> None:
    wide = base64.b64encode(encode_image(".png", 2, 66_000)).decode()
    assert "visualize" in await refused(gateway, wide, visualize=True)
    assert (await post(gateway, wide, visualize=False)).status_code == 200


@given(st.binary(min_size=1), st.sampled_from(["", "\n", " \r\n"]), st.integers(1, 80))
def test_base64_round_trip(data: bytes, separator: str, width: int) -> None:
    text = base64.b64encode(data).decode()
    wrapped = separator.join(text[i : i + width] for i in range(0, len(text), width))
    assert decode_base64(wrapped) == data


@given(st.text())
def test_base64_of_anything_is_bytes_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(decode_base64(text), bytes)


@given(st.text("AZaz09+/=-_ \n\0é") | st.binary().map(lambda data: base64.b64encode(data).decode()), st.data())
def test_the_fast_decoder_takes_what_the_strict_one_takes(text: str, data: st.DataObject) -> None:
    if text:
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.sampled_from(["", "=", "*", "A", " "])) + text[at + 1 :]
    try:
        unwrapped = "".join(text.split())
        digits = unwrapped.rstrip("=")
        needed = digits + "=" * min(len(unwrapped) - len(digits), -len(digits) % 4)
        expected = binascii.a2b_base64(needed if digits else unwrapped, strict_mode=True)
    except ValueError:
        with pytest.raises(InputError):
            decode_base64(text)
    else:
        if expected:
            assert decode_base64(text) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(JSON | st.fixed_dictionaries({"image": st.text()}, optional={"threshold": JSON, "visualize": JSON, "x": JSON}))
def test_any_json_is_a_request_or_issues(document: Any) -> None:
    try:
        request = parse_request(parse_document(json.dumps(document).encode()))
    except InvalidRequestError as error:
        issues = json.loads(str(error))
        assert issues
        for issue in issues:
            assert issue.keys() == {"type", "loc", "msg"}
            assert issue["loc"].startswith("body")
    else:
        assert isinstance(request, InferRequest)
        thresholds = request.threshold if isinstance(request.threshold, dict) else {0: request.threshold}
        assert all(value is None or 0 <= value <= 1 for value in thresholds.values())


@given(st.binary())
def test_any_bytes_are_json_or_an_issue(body: bytes) -> None:
    with contextlib.suppress(InvalidRequestError):
        parse_document(body)

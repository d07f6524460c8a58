"""Security headers of every response, whatever its status."""

from typing import Any

import httpx
import pytest

from gateway.security.security_headers import SecurityHeaders, is_page
from tests.gateway.security.test_api_keys import entry

PATH = "/small-object-detection"


def directives(answer: httpx.Response) -> dict[str, str]:
    (policy,) = answer.headers.get_list("content-security-policy")
    return dict(part.strip().partition(" ")[::2] for part in policy.split(";"))


def assert_secured(answer: httpx.Response, *, page: bool = False) -> None:
    for name, value in (
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache" if page else "no-store"),
    ):
        assert answer.headers.get_list(name) == [value], name
    assert "server" not in answer.headers
    policy = directives(answer)
    assert policy["default-src"] == "'none'"
    for name in ("frame-ancestors", "base-uri", "form-action"):
        assert policy[name] == "'none'"
    if page:
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["img-src"] == "'self' blob: data:"
        assert policy["media-src"] == "'self' blob:"
        assert answer.headers["permissions-policy"] == "camera=(self), microphone=(), geolocation=()"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    else:
        assert "script-src" not in policy
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/models", 200),
        ("GET", "/openapi.json", 200),
        ("POST", PATH, 422),
        ("GET", PATH, 405),
        ("GET", "/nothing", 404),
    ],
)
async def test_headers_of_the_api(gateway: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await gateway.request(method, path)
    assert answer.status_code == status
    assert_secured(answer)


async def test_headers_of_success_and_of_rejections(make_gateway: Any, image64: str) -> None:
    limited = {"rate_limit": "1/hour", "api_keys": entry("a", "key"), "max_body_bytes": 100_000}
    key = {"X-API-Key": "key"}
    async with make_gateway(**limited) as gateway:
        statuses = []
        for headers, content in (({}, b""), (key, b'{"image": "%s"}' % image64.encode()), (key, b"")):
            answer = await gateway.post(PATH, content=content, headers=headers)
            statuses.append(answer.status_code)
            assert_secured(answer)
    assert statuses == [401, 200, 429]
    async with make_gateway(max_body_bytes=10) as gateway:
        answer = await gateway.post(PATH, content=b"x" * 11)
        assert answer.status_code == 413
        assert_secured(answer)


async def broken() -> None:
    raise ZeroDivisionError


async def test_an_unexpected_exception(gateway: Any) -> None:
    gateway.app.add_api_route("/broken", broken)
    answer = await gateway.get("/broken")
    assert answer.status_code == 500
    assert_secured(answer)
    assert "ZeroDivisionError" not in answer.text
    assert "gateway" not in answer.text


@pytest.mark.parametrize("path", ["/", "/docs", "/static/page.js", "/static/nothing"])
async def test_headers_of_pages(gateway: httpx.AsyncClient, path: str) -> None:
    """Also where there is none: it is the path that tells."""
    assert_secured(await gateway.get(path), page=True)


@pytest.mark.parametrize("path", ["/static", "/staticx", "/docsx", "/docs/", "//", "/health"])
def test_paths_that_are_not_pages(path: str) -> None:
    assert not is_page(path)


async def answer_of(scheme: str, *headers: tuple[bytes, bytes], path: str = "/x") -> httpx.Response:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(SecurityHeaders(app))
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.get(f"{scheme}://gateway{path}")


async def test_hsts_with_tls_only() -> None:
    assert "strict-transport-security" not in (await answer_of("http")).headers
    assert (await answer_of("https")).headers["strict-transport-security"] == "max-age=31536000"


async def test_a_response_keeps_its_own_caching_and_no_header_is_duplicated() -> None:
    answer = await answer_of(
        "http", (b"cache-control", b"max-age=60"), (b"x-frame-options", b"SAMEORIGIN"), (b"x-other", b"1")
    )
    assert answer.headers.get_list("cache-control") == ["max-age=60"]
    assert answer.headers.get_list("x-frame-options") == ["DENY"]
    assert answer.headers["x-other"] == "1"

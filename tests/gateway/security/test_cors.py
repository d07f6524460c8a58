"""CORS: only the origins in the settings are allowed."""

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from gateway.settings import Settings
from tests.gateway.security.test_api_keys import entry
from tests.gateway.security.test_security_headers import broken

PATH = "/small-object-detection"
ORIGIN = "https://app.example.com"


async def preflight(gateway: httpx.AsyncClient, origin: str = ORIGIN, asked: str = "authorization") -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    return await gateway.options(PATH, headers=headers)


async def test_off_by_default(gateway: httpx.AsyncClient) -> None:
    assert (await preflight(gateway)).status_code == 405
    for answer in (await preflight(gateway), await gateway.get("/health", headers={"Origin": ORIGIN})):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("setting", ["*", ORIGIN, f"http://localhost:3000, {ORIGIN}"])
async def test_an_allowed_origin(make_gateway: Any, setting: str) -> None:
    async with make_gateway(cors_origins=setting, api_keys=entry("a", "key")) as gateway:
        # The browser sends no key with a preflight.
        for asked in ("authorization", "x-api-key, content-type"):
            answer = await preflight(gateway, asked=asked)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == ("*" if setting == "*" else ORIGIN)
            assert {"GET", "POST"} == set(answer.headers["access-control-allow-methods"].split(", "))
            assert "access-control-allow-credentials" not in answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
        # The answer, and an error's too, may be read, with the headers that say more.
        for headers, status in (({}, 401), ({"X-API-Key": "key"}, 422)):
            answer = await gateway.post(PATH, content=b"", headers={"Origin": ORIGIN, **headers})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == ("*" if setting == "*" else ORIGIN)
            exposed = set(answer.headers["access-control-expose-headers"].split(", "))
            assert exposed >= {"X-Log-Id", "X-Detections", "Server-Timing", "Retry-After"}
            assert "Origin" in answer.headers["vary"]


async def test_an_allowed_origin_may_read_a_500(make_gateway: Any) -> None:
    async with make_gateway(cors_origins=ORIGIN) as gateway:
        gateway.app.add_api_route("/broken", broken)
        answer = await gateway.get("/broken", headers={"Origin": ORIGIN})
    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.com", "http://app.example.com", "https://app.example.com:8443", "null", ORIGIN + "."],
)
async def test_an_origin_that_is_not_allowed(make_gateway: Any, origin: str) -> None:
    async with make_gateway(cors_origins=ORIGIN) as gateway:
        answer = await preflight(gateway, origin)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
        answer = await gateway.get("/health", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "setting",
    ["app.example.com", "https://app.example.com/", "https://app.example.com/x", "HTTPS://APP.example.com", "null",
     "https://", "https://user@app.example.com", "ftp://app.example.com", "https://*.example.com/", "https://a, b"],
)  # fmt: skip
def test_a_malformed_origin_is_rejected(setting: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin: use"):
        Settings(**{"cors_origins": setting})

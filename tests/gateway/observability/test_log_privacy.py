"""Secrets are never logged; listening to others without keys is."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.security.listen import warn_if_unauthenticated
from tests.gateway.logged_process import logging_to
from tests.gateway.security.test_api_keys import entry

PATH = "/small-object-detection"


async def test_no_secret_is_logged_even_at_debug_level(triton: Any, web: Any, image: bytes, tmp_path: Path) -> None:
    web.image("/p.jpg?token=t0ken-one", image)
    web.answer(
        "/moved?token=t0ken-two", f"HTTP/1.1 302 Found\nLocation: {web.url}/p.jpg?token=t0ken-one\nContent-Length: 0"
    )
    web.answer("/gone?token=t0ken-four", "HTTP/1.1 404 Not Found\nContent-Length: 0")
    texts = [f"{web.url}/p.jpg?token=t0ken-one", f"{web.url}/moved?token=t0ken-two"]
    texts += ["http://127.0.0.1:9/?token=t0ken-three", f"{web.url}/gone?token=t0ken-four"]
    texts += ["http://user:t0ken-five@[/", "https://user:t0ken-six@127.0.0.1:9/"]
    log = tmp_path / "log"
    options = ["--triton-url", f"127.0.0.1:{triton.port}", "--log-level", "debug", "--access-log", "on"]
    options += ["--fetch-allow", "127.0.0.1"]
    statuses = []
    with logging_to(log, *options, SOD_API_KEYS=entry("field", "s3cret-key")) as (url, process):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            for text in texts:
                answer = await client.post(
                    f"{PATH}?api_key=s3cret-query", json={"image": text}, headers={"X-API-Key": "s3cret-key"}
                )
                statuses.append(answer.status_code)
            for headers in ({"Authorization": "Bearer s3cret-wrong"}, {"X-API-Key": "s3cret-other"}):
                assert (await client.get("/models?key=s3cret-query", headers=headers)).status_code == 401
            await triton.stop()
            answer = await client.post(PATH, json={"image": texts[0]}, headers={"X-API-Key": "s3cret-key"})
            statuses.append(answer.status_code)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 60) == 0
    told = log.read_text()
    assert statuses == [200, 200, 422, 422, 422, 422, 503]
    for status in set(statuses):
        assert f"POST {PATH} {status} " in told  # it is the log of these requests
    assert "GET /models 401 " in told
    for secret in ("s3cret", "t0ken", "?", entry("field", "s3cret-key").partition(":")[2]):
        assert secret not in told, [line for line in told.splitlines() if secret in line]


@pytest.mark.parametrize("has_keys", [False, True])
@pytest.mark.parametrize(
    ("host", "open_to_others"),
    [("127.0.0.1", False), ("127.8.9.1", False), ("::1", False), ("localhost", False)]
    + [(host, True) for host in ("0.0.0.0", "::", "192.0.2.1", "gateway.example.com", "")],
)
def test_warning_when_listening_to_others_without_keys(
    host: str, open_to_others: bool, has_keys: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_if_unauthenticated(host, has_api_keys=has_keys)
    assert len(caplog.records) == (open_to_others and not has_keys)
    for record in caplog.records:
        assert record.levelname == "WARNING"
        assert record.message == (
            f"listening on {host} without API keys: everyone who can reach it may use it (SOD_API_KEYS)"
        )


@pytest.mark.parametrize(("host", "lines"), [("127.0.0.1", 0), ("127.1", 1)])
def test_the_warning_is_logged_at_start(host: str, lines: int, tmp_path: Path) -> None:
    """127.1 is loopback to the system alone: so the test listens nowhere else."""
    log = tmp_path / "log"
    with logging_to(log, "--host", host):
        told = log.read_text()
    assert told.count("without API keys") == lines


def test_forwarded_headers_of_untrusted_proxies_are_ignored(tmp_path: Path) -> None:
    """A forged X-Forwarded-For changes nothing, from this machine neither, until the setting names the proxy."""
    log = tmp_path / "log"

    def statuses(url: str) -> list[int]:
        forwarded = [{"X-Forwarded-For": f"198.51.100.{i}"} for i in range(3)]
        return [httpx.post(f"{url}{PATH}", content=b"{}", headers=one, timeout=60).status_code for one in forwarded]

    limit = ("--rate-limit", "1/hour")
    with logging_to(log, *limit, FORWARDED_ALLOW_IPS="*") as (url, _):
        assert statuses(url) == [422, 429, 429]
    with logging_to(log, *limit, "--forwarded-allow-ips", "127.0.0.0/8") as (url, _):
        assert statuses(url) == [422, 422, 422]
        proto = {"X-Forwarded-Proto": "https"}
        assert "strict-transport-security" in httpx.get(f"{url}/health", headers=proto, timeout=60).headers
    with logging_to(log, *limit, "--forwarded-allow-ips", "192.0.2.1") as (url, _):
        assert statuses(url) == [422, 429, 429]

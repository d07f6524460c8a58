"""API keys: the headers that carry them, open paths, and the syntax of the setting."""

import asyncio
import hashlib
import hmac
import json
import pickle
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.__main__ import main
from gateway.security import api_keys, file_watch
from gateway.security.api_keys import ApiKey, is_open, new_api_key, parse_api_keys
from gateway.settings import Settings
from tests.gateway.api.test_contract import assert_error
from tests.gateway.logged_process import refused

PATH = "/small-object-detection"


def entry(name: str, key: str) -> str:
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


KEYS = ",".join([entry("field", "one"), entry("field", "two"), entry("office", "three")])


@pytest.fixture
async def guarded(make_gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with make_gateway(api_keys=KEYS) as client:
        yield client


@pytest.mark.parametrize("key", ["one", "two", "three"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {}"},
        {"Authorization": "bearer {}"},
        {"authorization": "BEARER   {}  "},
        {"X-API-Key": "{}"},
        {"x-api-key": " {} "},
        {"X-API-Key": "{}", "Authorization": "Bearer {}"},
        {"X-API-Key": "{}", "Authorization": "Basic dXNlcjpwYXNzd29yZA=="},
        {"X-API-Key": "{}", "Authorization": "Bearer"},
    ],
)
async def test_a_known_key_is_accepted(
    guarded: httpx.AsyncClient, image64: str, key: str, headers: dict[str, str]
) -> None:
    sent = {name: value.format(key) for name, value in headers.items()}
    answer = await guarded.post(PATH, json={"image": image64}, headers=sent)
    assert answer.status_code == 200
    assert (await guarded.get("/models", headers=sent)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([], "requires an API key"),
        ([("Authorization", "")], "requires an API key"),
        ([("Authorization", "Bearer")], "requires an API key"),
        ([("Authorization", "Bearer ")], "requires an API key"),
        ([("Authorization", "one")], "requires an API key"),
        ([("Authorization", "Basic one")], "requires an API key"),
        ([("Authorization", "Bearerone")], "requires an API key"),
        ([("X-API-Key", "")], "requires an API key"),
        ([("Cookie", "X-API-Key=one")], "requires an API key"),
        ([("X-API-Key", "One")], "not one that this server knows"),
        ([("X-API-Key", "on")], "not one that this server knows"),
        ([("X-API-Key", "one\x00")], "not one that this server knows"),
        ([("X-API-Key", "one,two")], "not one that this server knows"),
        ([("X-API-Key", "Bearer one")], "not one that this server knows"),
        ([("Authorization", "Bearer one one")], "not one that this server knows"),
        ([("Authorization", 'Bearer "one"')], "not one that this server knows"),
        ([("X-API-Key", hashlib.sha256(b"one").hexdigest())], "not one that this server knows"),
        ([("X-API-Key", "ключ-鍵-🔑".encode())], "not one that this server knows"),
        ([("X-API-Key", bytes(range(128, 256)))], "not one that this server knows"),
        ([("X-API-Key", "x" * 1_000_000)], "not one that this server knows"),
        ([("X-API-Key", "one"), ("X-API-Key", "two")], "several API keys: send one"),
        ([("X-API-Key", "wrong"), ("Authorization", "Bearer one")], "several API keys: send one"),
    ],
)
async def test_other_keys_are_401(guarded: httpx.AsyncClient, triton: Any, headers: Any, told: str) -> None:
    raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]
    answer = await guarded.post(PATH, content=b"{}", headers=httpx.Headers(raw))
    assert told in assert_error(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert triton.asked == 0


async def test_a_key_in_the_query_is_ignored(guarded: httpx.AsyncClient) -> None:
    assert (await guarded.get("/models", params={"api_key": "one", "X-API-Key": "one"})).status_code == 401


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/health", 200), ("/health/live", 200), ("/health/ready", 200), ("/docs", 200), ("/openapi.json", 200)],
)
async def test_open_paths_need_no_key(guarded: httpx.AsyncClient, path: str, expected: int) -> None:
    assert (await guarded.get(path)).status_code == expected


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/health/nothing"])
async def test_unknown_open_paths_are_404_without_a_key(make_gateway: Any, path: str) -> None:
    async with make_gateway() as free, make_gateway(api_keys=KEYS) as guarded:
        assert (await guarded.get(path)).status_code == (await free.get(path)).status_code != 401


@pytest.mark.parametrize(
    "path",
    [
        PATH, PATH + "/", PATH + "/batch", "/models", "/metrics", "/nothing", "/healthz", "/Health", "/docs/",
        "/docs/x", "/static", "/staticx/a", "/openapi.json/", "/redoc", "/%2fhealth", "/health%00",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_other_paths_need_a_key(guarded: httpx.AsyncClient, path: str, method: str) -> None:
    assert (await guarded.request(method, path)).status_code == 401


def test_open_paths_are_not_normalised() -> None:
    """The path that is judged is the one that is routed: nobody resolves `..` in between."""
    assert is_open("/static/../models")  # a file of that name, if there were one
    assert not any(is_open(path) for path in ("/models", "//health", "/models/../health", "", "/models/static/"))


async def test_without_the_setting_no_key_is_required(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/models")).status_code == 200
    assert (await gateway.get("/models", headers={"X-API-Key": "whatever"})).status_code == 200


async def test_a_key_is_compared_with_every_entry_in_constant_time(
    guarded: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return hmac.compare_digest(a, b)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(api_keys, "hmac", Watched)
    for key in ("one", "three", "wrong", "x" * 10_000):
        await guarded.get("/models", headers={"X-API-Key": key})
        assert compared == [(32, 32)] * 3  # digests of one length, wherever the right one is, and also if none is
        compared.clear()


def test_a_new_key_matches_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    made = set()
    for _ in range(3):
        assert main(["--new-api-key", "field-team"]) == 0
        told = capsys.readouterr().out
        match = re.fullmatch(r".*: +(sod_[\w-]{43})\n.*: (field-team:[0-9a-f]{64})\n", told)
        assert match is not None
        assert match[2] == entry("field-team", match[1])
        (parsed,) = Settings(**{"api_keys": match[2]}).api_keys
        assert parsed == ApiKey("field-team", hashlib.sha256(match[1].encode()).digest())
        made.add(match[1])
    assert len(made) == 3


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a,b", "ü", "x" * 65, "a\n"])
def test_a_key_needs_a_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--new-api-key", name]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "a key's name is 1 to 64 of the characters" in printed.err


def test_the_setting_as_text_and_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (ApiKey("a", hashlib.sha256(b"1").digest()), ApiKey("b.c-d_e", hashlib.sha256(b"2").digest()))
    name, _, digest = entry("b.c-d_e", "2").partition(":")
    entries = [entry("a", "1"), f"{name}:{digest.upper()}"]
    for form in (",".join(entries), f" {entries[0]} ,\n{entries[1]},", json.dumps(entries)):
        assert Settings(**{"api_keys": form}).api_keys == expected
        monkeypatch.setenv("SOD_API_KEYS", form)
        assert Settings().api_keys == expected


SECRET = "sod_tHisIsAKeyThatSomebodyPutThere"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (SECRET, "entry 1 of 1 is not `name:sha256hex`"),
        (f"{entry('a', '1')},{SECRET}", "entry 2 of 2 is not `name:sha256hex`"),
        (f"a:{SECRET}", "entry 1 of 1: what follows the colon is not a SHA-256"),
        (f"a:{'0' * 63}", "entry 1 of 1: what follows the colon is not a SHA-256"),
        (f"a:{'0' * 65}", "entry 1 of 1: what follows the colon is not a SHA-256"),
        (f"a:{'g' * 64}", "entry 1 of 1: what follows the colon is not a SHA-256"),
        (f"{SECRET} :{'0' * 64}", "entry 1 of 1 is not `name:sha256hex`"),
        (f"a:{'0' * 64},,", "entry 2 of 2 is not"),
        (f":{'0' * 64}", "entry 1 of 1 is not `name:sha256hex`"),
        (f'["{SECRET}"', "it begins like a JSON list"),
        (f'["a:{"0" * 64}", {{"{SECRET}": 1}}]', "it begins like a JSON list"),
        ("[]", "it has no entries"),
        (" ", "it has no entries"),
        (",", "entry 1 of 1 is not"),
        (f"a:{'0' * 64},b:{'0' * 64}", "entry 2 of 2 repeats the key of an earlier one"),
    ],
)
def test_a_malformed_entry_is_named_by_position_and_not_shown(
    value: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOD_API_KEYS", value)
    assert main([]) == 2
    printed = capsys.readouterr()
    assert f"SOD_API_KEYS (--api-keys): {told}" in printed.err
    assert ("--new-api-key NAME" in printed.err) == ("repeats" not in told)
    with pytest.raises(ValidationError) as raised:
        Settings()
    for text in (printed.err, str(raised.value), repr(raised.value)):
        assert SECRET not in text


@given(st.text())
def test_no_setting_crashes_the_parser(text: str) -> None:
    try:
        keys = parse_api_keys(text)
    except ValueError:
        return
    assert isinstance(keys, tuple)
    assert keys


@given(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True))
def test_every_allowed_name_makes_a_key_that_parses(name: str) -> None:
    key, made = new_api_key(name)
    assert parse_api_keys(made) == (ApiKey(name, hashlib.sha256(key.encode()).digest()),)


def test_settings_do_not_show_their_secrets() -> None:
    digest = hashlib.sha256(b"1").digest()
    settings = Settings(**{"api_keys": entry("a", "1"), "tls_key_password": "hush"})
    for text in (repr(settings), str(settings), f"{settings.model_dump()}"):
        assert "hush" not in text
    assert digest.hex() not in repr(settings)
    assert repr(digest) not in repr(settings)


def test_settings_can_be_pickled() -> None:
    settings = Settings(**{"api_keys": KEYS, "tls_key_password": "hush", "rate_limit": "1/second"})
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_help_shows_no_secrets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_API_KEYS", entry("a", "1"))
    monkeypatch.setenv("SOD_TLS_KEY_PASSWORD", "hush-hush")
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert main(["--settings-markdown"]) == 0
    shown += capsys.readouterr().out
    assert "hush-hush" not in shown
    assert hashlib.sha256(b"1").hexdigest() not in shown


async def test_openapi_documents_the_keys(gateway: httpx.AsyncClient) -> None:
    document = (await gateway.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    bearer = next(name for name, scheme in schemes.items() if scheme["type"] == "http")
    header = next(name for name, scheme in schemes.items() if scheme["type"] == "apiKey")
    assert schemes[bearer]["scheme"] == "bearer"
    assert (schemes[header]["in"], schemes[header]["name"]) == ("header", "X-API-Key")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if is_open(path):
                assert "security" not in operation
            else:  # without one too: a server may ask for none
                assert operation["security"] == [{bearer: []}, {header: []}, {}]
                assert "401" in operation["responses"]


async def test_a_file_of_keys_is_read_again(
    make_gateway: Any, image64: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_watch, "INTERVAL_S", 0.05)
    file = tmp_path / "keys"
    file.write_text(f"# who may use it\n\n{entry('field', 'one')}\n")
    async with make_gateway(api_keys=entry("office", "three"), api_keys_file=file) as gateway:

        async def status(key: str) -> int:
            body = {"image": image64, "visualize": False}
            return (await gateway.post(PATH, json=body, headers={"X-API-Key": key})).status_code

        async def until(key: str, expected: int) -> None:
            async with asyncio.timeout(10):
                while await status(key) != expected:  # noqa: ASYNC110 - nothing tells us
                    await asyncio.sleep(0.05)

        assert [await status(key) for key in ("one", "two", "three")] == [200, 401, 200]
        other = tmp_path / "new"
        other.write_text(entry("field", "two"))
        other.replace(file)  # as Kubernetes and most tools replace files
        await until("two", 200)
        assert [await status(key) for key in ("one", "three")] == [401, 200]
        for broken in ("", "field:two", "\udcff"):
            caplog.clear()
            file.write_bytes(broken.encode("utf-8", "surrogateescape"))
            async with asyncio.timeout(10):
                while "the earlier stays in use" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert await status("two") == 200
        file.unlink()
        await asyncio.sleep(0.3)
        assert await status("two") == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        ("", "it has no entries"),
        ("a:b", "entry 1 of 1"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used(content: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert said in refused("--api-keys-file", str(file))

"""Format and content of log lines."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.observability import logs

PATH = "/small-object-detection"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Callable[[], list[str]]]]:
    """Configure the log and read what is written."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure(log_format: Any, level: str = "info") -> Callable[[], list[str]]:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure(level, log_format)
        return lambda: stream.getvalue().splitlines()

    yield configure
    for one in root.handlers[:]:
        root.removeHandler(one)
    for one in handlers:
        root.addHandler(one)
    root.setLevel(level)
    logging.captureWarnings(False)


async def test_one_json_line_a_request(make_gateway: Any, lines: Any, image64: str) -> None:
    read = lines("json", "warning")
    async with make_gateway(access_log=True) as gateway:
        answer = await gateway.post(PATH + "?token=hidden", json={"image": image64, "logId": "mine"})
    (line,) = map(json.loads, read())
    assert line["logger"] == "gateway.access"
    assert line["level"] == "INFO"
    assert line["logId"] == "mine"
    assert (line["method"], line["path"], line["status"]) == ("POST", PATH, 200)
    assert line["bytes"] == len(answer.content)
    assert line["client"] == "127.0.0.1"
    assert line["ms"] >= line["stages"]["infer"] > 0
    assert {"body", "parse", "infer", "draw"} <= set(line["stages"])
    assert line["time"].endswith("+00:00")
    assert "hidden" not in str(line)


async def test_one_text_line_a_request(make_gateway: Any, lines: Any, image64: str) -> None:
    read = lines("text")
    async with make_gateway(access_log=True) as gateway:
        await gateway.post(PATH, json={"image": image64, "logId": "mine"})
    (line,) = [one for one in read() if "gateway.access" in one]
    assert f"INFO gateway.access: 127.0.0.1 POST {PATH} 200 " in line
    assert " infer=" in line
    assert line.endswith(" (logId mine)")


async def test_the_access_log_is_off_by_default(make_gateway: Any, lines: Any, image64: str) -> None:
    read = lines("json")
    async with make_gateway() as gateway:
        await gateway.post(PATH, json={"image": image64})
    assert read() == []


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_every_line_of_a_request_has_its_log_id(
    make_gateway: Any, lines: Any, image64: str, triton: Any, *, log_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grpc

    def noisy(*_: object, **__: object) -> None:
        logging.getLogger("somebody").warning("in a thread")
        raise RuntimeError("broken\n2026-01-01 00:00:00,000 INFO forged: line")

    read = lines(log_format)
    async with make_gateway() as gateway:
        triton.fails = (grpc.StatusCode.UNAVAILABLE, "gone")
        assert (await gateway.post(PATH, json={"image": image64, "logId": "first"})).status_code == 503
        triton.fails = None
        monkeypatch.setattr("gateway.inference.detector.draw_detections", noisy)
        assert (await gateway.post(PATH, json={"image": image64, "logId": "second"})).status_code == 500
    logging.getLogger("nobody's").warning("outside")
    found = read()
    if log_format == "json":
        documents = [json.loads(line) for line in found]
        assert [one.get("logId") for one in documents] == ["first", "second", "second", None]
        assert "RuntimeError: broken" in documents[2]["exception"]
        return
    of_log = [line for line in found if not line.startswith("  ")]
    assert [line.rpartition(" (logId ")[2] for line in of_log[:3]] == ["first)", "second)", "second)"]
    assert of_log[3].endswith("nobody's: outside")
    assert len(of_log) == 4, "the exception's text has forged a line"


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_control_characters_are_escaped(make_gateway: Any, lines: Any, log_format: str) -> None:
    read = lines(log_format)
    nasty = "a\r\nb\x1b[31m\x7f\x85\u2028\u202e"
    async with make_gateway(access_log=True) as gateway:
        await gateway.post("/%0d%0a%1b%5b31m%c2%85%e2%80%a8", json={"logId": nasty})
    (line,) = read()
    assert all(char.isprintable() for char in line)
    if log_format == "json":
        assert json.loads(line)["logId"] == nasty
        assert "\\u001b[31m\\u0085\\u2028" in line
    else:
        assert "a\\r\\nb\\x1b[31m\\x7f\\x85\\u2028\\u202e" in line
        assert "\\x1b[31m\\x85\\u2028" in line


async def test_lines_are_bounded(make_gateway: Any, lines: Any) -> None:
    read = lines("text")
    async with make_gateway(access_log=True) as gateway:
        await gateway.post("/" + "x" * 20_000, json={"logId": "y" * 50_000})
    (line,) = read()
    assert len(line) < 600


async def test_no_secrets(make_gateway: Any, lines: Any, web: Any) -> None:
    read = lines("json", "debug")
    web.answer("/image.jpg?sig=hidden-url", "HTTP/1.1 404 Not Found\nContent-Length: 0")
    async with make_gateway(access_log=True) as gateway:
        headers = {"Authorization": "Bearer hidden-key", "X-API-Key": "hidden-key", "Cookie": "hidden-cookie"}
        await gateway.post(PATH, json={"image": f"{web.url}/image.jpg?sig=hidden-url"}, headers=headers)
    assert any("gateway.access" in line for line in read())
    assert not [line for line in read() if "hidden" in line]


async def test_a_client_that_left_is_499(make_gateway: Any, lines: Any) -> None:
    read = lines("json")

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        await asyncio.sleep(0)

    async with make_gateway(access_log=True) as gateway:
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b"", "client": None}
        await gateway.app({**scope, "scheme": "http", "server": None, "root_path": ""}, receive, send)
    (line,) = map(json.loads, read())
    assert (line["status"], line["client"]) == (499, "-")


async def test_the_launchers_probes_are_left_out_of_the_access_log(make_gateway: Any, lines: Any) -> None:
    read = lines("json")
    async with make_gateway(access_log=True) as gateway:
        await gateway.get("/health", headers={"user-agent": "triton-sod-launcher"})
        await gateway.get("/health")
    assert len(read()) == 1


def record(message: str, level: int = logging.WARNING, exc_info: Any = None) -> logging.LogRecord:
    return logging.LogRecord("gateway.errors", level, "", 0, message, ("it",), exc_info)


def test_a_repeated_warning_is_logged_once_in_ten_seconds_and_counted() -> None:
    now = [0.0]
    repetitions = logs.RepetitionFilter(lambda: now[0])
    assert [repetitions.filter(record("%s failed")) for _ in range(1000)] == [True] + [False] * 999
    assert repetitions.filter(record("%s is another"))
    now[0] = 10.5
    late = record("%s failed")
    assert repetitions.filter(late)
    assert late.getMessage() == "it failed (999 more since the last such line)"
    now[0] = 30
    again = record("%s failed")
    assert repetitions.filter(again)
    assert again.getMessage() == "it failed"


@pytest.mark.parametrize("one", [record("%s", logging.INFO), record("%s", logging.ERROR, (ValueError, None, None))])
def test_information_and_tracebacks_always_pass(one: logging.LogRecord) -> None:
    repetitions = logs.RepetitionFilter(lambda: 0.0)
    assert [repetitions.filter(one) for _ in range(3)] == [True] * 3

"""The process: options, settings, signals, and a real HTTP server."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from gateway.__main__ import main
from gateway.observability.metrics import metrics_markdown
from gateway.settings import Settings, setting_rows, settings_markdown
from tests.gateway.process import ROOT, running

PATH = "/small-object-detection"


async def test_process(triton: Any, image64: str) -> None:
    options = ("--triton-url", f"127.0.0.1:{triton.port}", "--max-body-bytes", "100000")
    async with running(*options) as (url, process), httpx.AsyncClient(base_url=url) as client:
        answer = await client.post(PATH, json={"image": image64})
        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert (await client.get("/health/ready")).status_code == 200

        # A client that sends its whole body before it reads gets the answer, not a reset.
        answer = await client.post(PATH, content=b"x" * 5_000_000)
        assert answer.status_code == answer.json()["errorCode"] == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(500):
                yield b"x" * 10_000

        answer = await client.post(PATH, content=chunks())
        assert answer.status_code == answer.json()["errorCode"] == 413
        assert (await client.post(PATH, json={"image": image64})).status_code == 200

        # SIGTERM lets what is under way finish.
        triton.hold = asyncio.Event()
        arrived = len(triton.images)
        under_way = asyncio.create_task(client.post(PATH, json={"image": image64}))
        async with asyncio.timeout(10):
            await triton.arrived.wait()
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        triton.hold.set()
        assert (await under_way).status_code == 200
        assert len(triton.images) == arrived + 1
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_a_client_that_disconnects_is_not_an_error(free_ports: Callable[[int], list[int]]) -> None:
    async with running("--triton-url", f"127.0.0.1:{free_ports(1)[0]}") as (url, process):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()
        assert reader is not None
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/health")).status_code == 200
            assert (await client.get("/health/ready")).status_code == 503  # no Triton there
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            _, log = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in log


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')} " in told
        assert f"SOD_{name.upper()}" in told


def test_an_invalid_setting_is_explained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_DEFAULT_THRESHOLD", "7")
    assert main(["--jpeg-quality", "good"]) == 2
    told = capsys.readouterr().err
    assert "SOD_DEFAULT_THRESHOLD (--default-threshold): Input should be less than or equal to 1" in told
    assert "SOD_JPEG_QUALITY (--jpeg-quality): Input should be a valid integer" in told


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_MODEL", "")
    monkeypatch.setenv("SOD_PORT", "1234")
    monkeypatch.setenv("SOD_VISUALIZE", "off")
    monkeypatch.setenv("SOD_PROFILE", "someone else's")
    settings = Settings()
    assert (settings.model, settings.port, settings.visualize) == (None, 1234, False)
    assert settings.host == "127.0.0.1"
    with pytest.raises(ValidationError):
        settings.port = 5


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(("what", "write"), [("settings", settings_markdown), ("metrics", metrics_markdown)])
def test_the_tables_in_the_documentation_are_current(
    what: str, write: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """To mend it: `python -m gateway --settings-markdown`, `--metrics-markdown`."""
    assert main([f"--{what}-markdown"]) == 0
    table = capsys.readouterr().out
    assert table == write()
    document = (ROOT / "docs" / "gateway.md").read_text("utf-8")
    inside = re.search(rf"<!-- {what}:begin[^>]*-->\n\n(.*)\n<!-- {what}:end -->", document, re.DOTALL)
    assert inside is not None
    assert inside[1] == table


def test_every_setting_has_a_section() -> None:
    rows = list(setting_rows())
    assert len(rows) == len(Settings.model_fields)
    assert all(row.section for row in rows)


def test_the_examples_in_the_documentation_are_json() -> None:
    document = (ROOT / "docs" / "gateway.md").read_text("utf-8")
    examples = re.findall(r"```json\n(.*?)```", document, re.DOTALL)
    assert examples
    for example in examples:
        json.loads(example)


def test_the_gateway_imports_no_other_package_but_sod() -> None:
    """Nor the server's code; and Triton's client is known in one room."""
    code = "import sys, gateway.app; print(*sorted(m.split('.')[0] for m in sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    names = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    ).stdout.split()
    assert not {"server", "export", "sod_client", "benchmarks"} & set(names)
    users = {
        str(path.parent.relative_to(ROOT))
        for path in (ROOT / "gateway").rglob("*.py")
        if re.search(r"^(?:import|from) tritonclient", path.read_text(), re.MULTILINE)
    }
    assert users == {"gateway/inference", "gateway/inference/replicas"}

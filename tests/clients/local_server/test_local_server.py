"""The process of the local server: its arguments, its end, and the errors if it does not start.

The launcher in these tests is a stand-in that only serves `/health/ready`. The end-to-end tests start the real one.
"""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sod_client import AsyncPipeline, DependencyError, LocalServerError, create_pipeline

ROOT = Path(__file__).parents[3]
Launcher = Callable[[str], Path]
SERVE = """
import http.server, json, os, pathlib, signal, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
def main(argv, prog):
    environment = {key: value for key, value in os.environ.items() if key.startswith(("SOD", "CUDA"))}
    record = pathlib.Path(__file__).with_name("started.json")
    record.write_text(json.dumps({"argv": argv, "prog": prog, "environment": environment, "pid": os.getpid()}))
    server = http.server.HTTPServer(("127.0.0.1", int(argv[argv.index("--port") + 1])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    record.with_name("stopped").touch()
    return 0
"""


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Install a package that provides the command `serve` with this code, before any other."""

    def install(code: str) -> Path:
        site = tmp_path / "site"
        information = site / "triton_sod-9.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: triton-sod\nVersion: 9\n")
        (information / "entry_points.txt").write_text("[sod.commands]\nserve = stand_in:main\n")
        (site / "stand_in.py").write_text(code)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT / 'clients' / 'python'}")
        return site

    return install


def started(site: Path) -> dict[str, object]:
    import json

    record: dict[str, object] = json.loads((site / "started.json").read_text())
    return record


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_lives_as_long_as_the_pipeline(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    site = launcher(SERVE)
    monkeypatch.setenv("SOD_MODEL", "another")
    monkeypatch.setenv("SOD_JPEG_QUALITY", "80")
    with create_pipeline(model="mine", device="cpu") as pipeline:
        record = started(site)
        argv = record["argv"]
        assert isinstance(argv, list)
        options = dict(zip(argv[::2], argv[1::2], strict=True))
        ports = [options.pop(f"--{name}") for name in ("port", "http-port", "grpc-port", "metrics-port")]
        assert len(set(ports)) == 4
        assert options == {"--host": "127.0.0.1", "--model": "mine", "--profile": "cpu_high_performance"}
        assert pipeline.url == f"http://127.0.0.1:{ports[0]}"
        assert record["environment"] == {"SOD_JPEG_QUALITY": "80"}
        assert not (site / "stopped").exists()
    assert (site / "stopped").exists()


def test_a_pipeline_without_references_stops_it(launcher: Launcher) -> None:
    site = launcher(SERVE)
    pipeline = create_pipeline()
    assert "--model" not in started(site)["argv"]  # type: ignore[operator]
    del pipeline
    gc.collect()
    assert (site / "stopped").exists()


async def test_the_asynchronous_one_starts_it_when_it_is_entered(launcher: Launcher) -> None:
    site = launcher(SERVE)
    made = AsyncPipeline()
    assert made.url is None
    assert not (site / "started.json").exists()
    async with made as pipeline:
        assert pipeline.url is not None
    assert (site / "stopped").exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys\ndef main(argv, prog): print('triton-sod: no model', file=sys.stderr); return 1", "no model$"),
        ("def main(argv, prog): print('a\\nb\\nlast words'); return 3", r"a \| b \| last words"),
        ("def main(argv, prog): return 1", "it printed nothing"),
        ("import nonsense_that_is_not_there", "No module named 'nonsense_that_is_not_there'"),
    ],
)
def test_the_error_has_the_reason_for_a_failed_start(launcher: Launcher, code: str, message: str) -> None:
    launcher(code)
    with pytest.raises(LocalServerError, match=f"the local server did not start: .*{message}"):
        create_pipeline()


def test_a_port_that_was_taken_meanwhile_is_tried_again(launcher: Launcher, tmp_path: Path) -> None:
    refuse = f"""
    tries = pathlib.Path({str(tmp_path / "tries")!r})
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    if len(tries.read_text()) < 3:
        print("triton-sod: cannot listen on 127.0.0.1:1 (taken): choose another", file=sys.stderr)
        return 1
"""
    launcher(SERVE.replace("def main(argv, prog):\n", f"def main(argv, prog):{refuse}", 1))
    create_pipeline().close()
    assert (tmp_path / "tries").read_text() == "xxx"


def test_without_triton_sod_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sod_client._local_server.local_server.entry_points", lambda **_: ())
    with pytest.raises(DependencyError, match=r"triton-sod.*is not installed: `make serve` in a checkout"):
        create_pipeline()


PARENT = """
import os, signal, sys, threading, time
from sod_client import create_pipeline
made = []
starter = threading.Thread(target=lambda: made.append(create_pipeline()))
starter.start()
starter.join()
# join() returns before the system's thread has ended. A fork meanwhile may copy OpenSSL's lock while that thread holds
# it, and the exit of the copy then waits for it forever.
while os.path.exists(f"/proc/self/task/{starter.native_id}"):
    time.sleep(0.01)
print(made[0].url, flush=True)
how = sys.argv[1]
if how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "fork":
    child = os.fork()
    if not child:
        sys.exit()
    os.waitpid(child, 0)
    import httpx
    assert httpx.get(made[0].url + "/health/ready").status_code == 200
"""


@pytest.mark.parametrize(("how", "code"), [("end", 0), ("kill", -signal.SIGKILL), ("fork", 0)])
def test_it_ends_with_the_process_and_not_with_a_thread_or_a_fork(
    launcher: Launcher, tmp_path: Path, how: str, code: int
) -> None:
    site = launcher(SERVE)
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    # A module in the working directory must not take the place of the server's.
    (tmp_path / "stand_in.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [sys.executable, str(script), how], cwd=tmp_path, env={**os.environ}, check=False, timeout=120
    )
    assert done.returncode == code
    wait_for(lambda: not psutil.pid_exists(int(str(started(site)["pid"]))))
    assert (site / "stopped").exists()

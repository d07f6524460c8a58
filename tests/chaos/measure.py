"""One fault under load: how long until answers are back, and what the clients saw meanwhile."""

import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.faults import DEMO, Fault, gateway, triton, wait_for_back, workers
from tests.chaos.load import Load, Response, drawn_images
from tests.e2e.started_server import REPOSITORY, Serving, serve

_CALM_S = 5.0  # without a failure: answers are back
_BEFORE_S = 2.0
_TIMEOUT_S = 150.0


@dataclass
class Result:
    """What one fault did.

    Attributes:
        name: of the fault.
        goal_s: see `Fault`.
        back_s: seconds from the fault to the first of the answers after the last failure; 0 without a failure.
        wrong: answers with other objects than before.
        hung: requests without any answer.
        cut: requests whose connection was cut or refused, as happens where the gateway itself is harmed.
        statuses: of all answers.
        log_lines: of the launcher and Triton, a second.
        gateway_lines: of the gateway, a second.
        bystander: the other process, if it was replaced too.
        leftovers: what was there after the server had ended.
    """

    name: str
    goal_s: float
    back_s: float
    wrong: int
    hung: int
    cut: int
    statuses: Counter[int]
    log_lines: float
    gateway_lines: float
    bystander: str = ""
    leftovers: list[str] = field(default_factory=list)


@contextmanager
def chaos_server(ports: list[int], folder: Path, *options: str, **settings: str) -> Iterator[Serving]:
    """A server with the demo model."""
    with serve(REPOSITORY, folder / "serve.log", ports, "--model", DEMO, *options, **settings) as serving:
        yield serving


def measure(server: Serving, fault: Fault) -> Result:
    """Harm a server under load and watch it recover."""
    with Load(server.url, drawn_images()) as load:
        time.sleep(_BEFORE_S)
        if fault.again:
            fault.harm(server)
            began = time.monotonic()
            time.sleep(1)
            wait_for_back(server, lambda: _back_at(load.since(began)) is not None, _TIMEOUT_S)
        before = _processes(server)
        log_size = server.log.stat().st_size
        fault.harm(server)
        began = time.monotonic()
        server.wait_for(lambda: _is_replaced(server, fault, before), "the new process", _TIMEOUT_S)
        server.wait_for(lambda: _is_calm(load.since(began)), "answers", _TIMEOUT_S)
    responses = load.since(began)
    back_at = _back_at(responses)
    seconds = max(1.0, (back_at or began) - began)
    lines = server.log.read_bytes()[log_size:].decode(errors="replace").splitlines()
    own = [line for line in lines if " gateway." not in line]
    after = _processes(server)
    return Result(
        fault.name,
        fault.goal_s,
        back_at - began if back_at is not None else 0.0,
        sum(r.is_wrong for r in responses),
        sum(r.status == -1 for r in responses),
        sum(r.status == 0 for r in responses),
        Counter(r.status for r in responses if r.status > 0),
        len(own) / seconds,
        (len(lines) - len(own)) / seconds,
        next((name for name in after if len(before[name] - after[name]) > (name == fault.replaces)), ""),
    )


def kill_everything(ports: list[int], folder: Path) -> Result:
    """SIGKILL to the launcher and all its children; what the next start makes of what they left."""
    with chaos_server(ports, folder) as first:
        processes = [psutil.Process(first.process.pid), *first.children()]
        prefix = f"sod-{first.process.pid}-"
        for process in processes:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=10)
        first.process.wait(10)
        began = time.monotonic()
        assert leftovers(prefix), "a killed server leaves its files"
    second_folder = folder / "second"
    second_folder.mkdir()
    with chaos_server(ports, second_folder) as second:
        back_s = time.monotonic() - began
        found = leftovers(prefix)
        with Load(second.url, drawn_images()) as load:
            time.sleep(_BEFORE_S)
        statuses = Counter(response.status for response in load.responses)
    name = "everything killed, and started by hand"
    return Result(name, 30, back_s, sum(r.is_wrong for r in load.responses), 0, 0, statuses, 0, 0, "", found)


def leftovers(prefix: str) -> list[str]:
    """Files of a server in shared memory and in the folder for temporary files."""
    return [str(path) for folder in ("/dev/shm", tempfile.gettempdir()) for path in Path(folder).glob(f"{prefix}*")]


def stopped_cleanly(server: Serving) -> list[str]:
    """Stop it by Ctrl-C; returns what is left: processes and files."""
    processes = server.children()
    prefix = f"sod-{server.process.pid}-"
    code = server.stop()
    _, alive = psutil.wait_procs(processes, timeout=5)
    problems = [f"exit code {code}"] if code else []
    return [*problems, *(f"process {process.pid}" for process in alive), *leftovers(prefix)]


def table(results: list[Result]) -> str:
    """The results as Markdown."""
    rows = [
        "| fault | seconds until back (goal) | wrong answers | requests hung | statuses | connections cut "
        "| log lines a second: launcher and Triton, gateway | leftovers |",
        "| --- | ---: | ---: | ---: | --- | ---: | --- | --- |",
    ]
    for r in results:
        statuses = ", ".join(str(status) for status in sorted(r.statuses))
        left = ", ".join([*r.leftovers, *([f"{r.bystander} was replaced too"] if r.bystander else [])]) or "none"
        lines = f"{r.log_lines:.1f}, {r.gateway_lines:.1f}"
        rows.append(
            f"| {r.name} | {r.back_s:.1f} ({r.goal_s:.0f}) | {r.wrong} | {r.hung} | {statuses} | {r.cut} | {lines} "
            f"| {left} |"
        )
    return "\n".join(rows)


def _processes(server: Serving) -> dict[str, set[int]]:
    """Process ids by name."""
    return {
        "Triton": {triton(server).pid},
        "gateway": {gateway(server).pid},
        "worker": {worker.pid for worker in workers(server)},
    }


def _is_replaced(server: Serving, fault: Fault, before: dict[str, set[int]]) -> bool:
    try:
        now = _processes(server)[fault.replaces]
    except (AssertionError, psutil.NoSuchProcess):
        return False
    return len(now) == len(before[fault.replaces]) and now != before[fault.replaces]


def _is_calm(responses: list[Response]) -> bool:
    back_at = _back_at(responses)
    return back_at is not None and time.monotonic() - back_at > _CALM_S


def _back_at(responses: list[Response]) -> float | None:
    """When the first answer came that was asked for after the last failure; None without one yet."""
    failed_at = max((r.answered_at for r in responses if r.status != 200), default=None)
    if failed_at is None:
        return None
    return min((r.answered_at for r in responses if r.status == 200 and r.asked_at >= failed_at), default=None)

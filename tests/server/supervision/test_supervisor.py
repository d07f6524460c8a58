"""Which process is replaced, when, and in which order both are stopped: real processes without detectors."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.process.output import Output
from server.process.procfs import child_pids, read_status
from server.supervision.backoff import Backoff
from server.supervision.supervisor import Supervisor
from tests.server.supervision.fake_processes import FakeApi, FakeGateway, FakeTriton

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervised:
    """A supervisor with its two children; `run` returns when `script` has ended and everything is stopped."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.output = Output()
        self.problems: list[BaseException] = []

    def run(
        self,
        script: Callable[["Supervised"], None],
        *,
        gateway_takes: float = 0,
        drain_s: float = 1,
        unready_restart_s: float = 60,
        stub_seconds: tuple[float, float] = (3600, 3600),
        stop: signal.Signals | None = signal.SIGTERM,
    ) -> list[str]:
        self.triton = FakeTriton(self.folder, self.output, stub_seconds)
        self.gateway = FakeGateway(self.folder, self.output, self.port, gateway_takes)
        ready = threading.Event()

        def work() -> None:
            try:
                assert ready.wait(30)
                script(self)
            except BaseException as error:
                self.problems.append(error)
            finally:
                if stop is not None:
                    os.kill(os.getpid(), stop)

        thread = threading.Thread(target=work)
        thread.start()
        Supervisor(
            self.triton,  # type: ignore[arg-type]
            self.gateway,
            url=f"http://127.0.0.1:{self.port}",
            output=self.output,
            start_timeout_s=60,
            unready_restart_s=unready_restart_s,
            drain_s=drain_s,
        ).run(lambda _: ready.set())
        thread.join()
        self.output.close()
        if self.problems:
            raise self.problems[0]
        return self.told()

    def told(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> float:
        """Seconds until it holds."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() - started < timeout_s, f"not within {timeout_s} s"
            time.sleep(0.05)
        return time.monotonic() - started


@pytest.fixture
def supervised(tmp_path: Path, free_ports: Any) -> Any:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and stays so
    yield Supervised(tmp_path, free_ports(1)[0])
    for number, handler in handlers.items():
        signal.signal(number, handler)


def nothing(_: Supervised) -> None:
    """A script that does nothing."""


# stopping


@pytest.mark.parametrize("number", SIGNALS)
def test_the_gateway_has_its_time_and_triton_until_then(supervised, number):
    told = supervised.run(nothing, gateway_takes=2, drain_s=60, stop=number)
    assert told[2:] == ["gateway asked", "gateway done", "triton asked", "triton done"]


def test_a_gateway_that_takes_longer_than_its_time_is_killed(supervised, monkeypatch):
    monkeypatch.setattr("server.supervision.supervisor._GATEWAY_CLOSING_S", 1.0)
    started = time.monotonic()
    told = supervised.run(nothing, gateway_takes=3600, drain_s=1)
    assert told[2:] == ["gateway asked", "triton asked", "triton done"]
    assert time.monotonic() - started < 15


def test_a_stopped_gateway_is_not_waited_for(supervised):
    stopping_at = []

    def freeze(s: Supervised) -> None:
        os.kill(s.gateway.pid, signal.SIGSTOP)
        stopping_at.append(time.monotonic())

    supervised.run(freeze, drain_s=3600)
    assert time.monotonic() - stopping_at[0] < 10


def test_a_second_signal_ends_both_at_once(supervised):
    def insist(_: Supervised) -> None:
        for _ in range(8):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)

    told = supervised.run(insist, gateway_takes=3600, drain_s=3600, stop=None)
    assert "gateway done" not in told


def test_a_hang_up_that_is_ignored_stays_ignored(supervised):
    """As `nohup make serve` starts it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def hang_up(s: Supervised) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(1)
        assert s.gateway.exit_code() is None
        assert "gateway asked" not in s.told()

    assert supervised.run(hang_up)[2:3] == ["gateway asked"]


def test_a_hang_up_does_not_end_the_children(supervised):
    """A service manager sends it to every process; the launcher's drain is what ends them."""

    def hang_up(s: Supervised) -> None:
        for child in (s.gateway, s.triton):
            os.kill(child.pid, signal.SIGHUP)
        time.sleep(1)
        assert s.gateway.starts == s.triton.starts == 1
        assert s.gateway.exit_code() is s.triton.exit_code() is None

    supervised.run(hang_up)


# replacing


def replaced(supervised: Supervised, harm: Callable[[Supervised], None], whose: str, within_s: float) -> None:
    """Do harm, and check that only `whose` process is started again."""

    def script(s: Supervised) -> None:
        harm(s)
        child = getattr(s, whose)
        s.wait_for(lambda: child.starts == 2, within_s)
        s.wait_for(lambda: child.exit_code() is None, 5)

    supervised.run(script)
    other = supervised.triton if whose == "gateway" else supervised.gateway
    assert other.starts == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("whose", ["gateway", "triton"])
def test_a_dead_or_stopped_process_is_replaced_alone(supervised, whose, number):
    replaced(supervised, lambda s: os.kill(getattr(s, whose).pid, number), whose, 5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_triton_is_replaced_when_a_stage_is_dead_or_stopped(supervised, number, capfd):
    def harm(s: Supervised) -> None:
        s.wait_for(lambda: len(child_pids(s.triton.pid)) == 2, 10)
        time.sleep(0.5)
        os.kill(child_pids(s.triton.pid)[0], number)

    replaced(supervised, harm, "triton", 5)
    assert "Triton has " in capfd.readouterr().err


def test_a_stage_that_exits_by_itself_has_time_to_be_waited_for(supervised, capfd):
    """As it does when Triton unloads it, which waits for it then; on a busy machine that comes late."""

    def script(s: Supervised) -> None:
        s.wait_for(lambda: len(zombies(s.triton.pid)) == 1, 10)
        time.sleep(1.5)
        assert s.triton.starts == 1
        s.wait_for(lambda: s.triton.starts == 2, 10)

    def zombies(pid: int) -> list[int]:
        return [one for one in child_pids(pid) if (status := read_status(one)) and status.state == "Z"]

    supervised.run(script, stub_seconds=(2, 3600))
    assert "Triton has lost the process of " in capfd.readouterr().err


def test_the_second_death_waits_for_no_deadline(supervised):
    def script(s: Supervised) -> None:
        os.kill(s.triton.pid, signal.SIGKILL)
        s.wait_for(lambda: s.triton.starts == 2, 5)
        time.sleep(1.5)
        os.kill(s.triton.pid, signal.SIGKILL)
        assert s.wait_for(lambda: s.triton.starts == 3, 10) < 5

    supervised.run(script)


def test_a_gateway_that_hangs_without_being_stopped_is_replaced(supervised, capfd):
    """Its process sleeps, accepts connections and answers nothing."""
    took = []

    def script(s: Supervised) -> None:
        s.wait_for(lambda: s.told().count("gateway up") == 1, 10)
        time.sleep(2)  # it has been idle for so long
        (s.folder / "hang").touch()
        took.append(s.wait_for(lambda: s.gateway.starts == 2, 20))
        (s.folder / "hang").unlink()

    supervised.run(script)
    assert took[0] < 8
    assert supervised.triton.starts == 1
    assert "the gateway has not answered /health/live for " in capfd.readouterr().err


def test_when_triton_answers_images_and_the_gateway_is_not_ready_the_gateway_is_replaced_once(supervised, monkeypatch):
    monkeypatch.setattr("server.supervision.supervisor._GATEWAY_CLOSING_S", 0.0)

    def script(s: Supervised) -> None:
        (s.folder / "unready").touch()
        s.wait_for(lambda: s.gateway.starts == 2, 20)
        time.sleep(6)
        assert s.gateway.starts == 2

    supervised.run(script, unready_restart_s=2, drain_s=0)
    assert supervised.triton.starts == 1


def test_when_triton_answers_no_image_triton_is_replaced(supervised):
    def script(s: Supervised) -> None:
        s.triton.api.failing = "no"
        (s.folder / "unready").touch()
        s.wait_for(lambda: s.triton.starts == 2, 20)

    supervised.run(script, unready_restart_s=2)
    assert supervised.gateway.starts == 1


def test_a_stage_that_triton_calls_dead_is_waited_for_no_longer(supervised):
    def script(s: Supervised) -> None:
        s.triton.api.failing = "Stub process 'postprocess_0_0' is not healthy."
        (s.folder / "unready").touch()
        s.wait_for(lambda: s.triton.starts == 2, 15)

    supervised.run(script, unready_restart_s=600)
    assert supervised.gateway.starts == 1


def test_a_restart_that_loads_no_model_is_tried_again(supervised, capfd):
    """Such as one that meets the files of a model while they are being replaced."""

    def script(s: Supervised) -> None:
        s.triton.damaged = True
        os.kill(s.triton.pid, signal.SIGKILL)
        s.wait_for(lambda: s.triton.starts == 3, 15)
        s.triton.damaged = False
        s.wait_for(lambda: "images are answered again" in read(), 20)

    told: list[str] = []

    def read() -> str:
        told.append(capfd.readouterr().err)
        return "".join(told)

    supervised.run(script)
    assert supervised.gateway.starts == 1
    read()
    assert "ERROR server: no model can be served:\n  demo: it is damaged\n" in "".join(told)
    assert "".join(told).count("no model can be served") == 1


def test_orphans_are_reaped(supervised):
    """As PID 1 of a container the launcher inherits what its children leave behind."""

    def script(s: Supervised) -> None:
        s.wait_for(lambda: len(child_pids(s.triton.pid)) == 2, 10)
        stubs = child_pids(s.triton.pid)
        os.kill(s.triton.pid, signal.SIGKILL)
        s.wait_for(lambda: all(read_status(pid) is None for pid in stubs), 10)

    supervised.run(script)
    assert not [pid for pid in child_pids(os.getpid()) if (status := read_status(pid)) and status.state == "Z"]


def test_a_slow_start_says_which_model_is_loading(supervised, monkeypatch, capfd):
    monkeypatch.setattr("server.supervision.supervisor._FIRST_PROGRESS_S", 0.5)
    monkeypatch.setattr(FakeTriton, "loading", lambda _: ["largesize_detector"])
    began = time.monotonic()
    live = FakeApi.is_live
    monkeypatch.setattr(FakeApi, "is_live", lambda api, t: time.monotonic() - began > 3 and live(api, t))
    supervised.run(nothing)
    told = capfd.readouterr().err
    assert " INFO server: still loading largesize_detector: each network is compiled for this processor or GPU" in told
    assert "WARNING" not in told


def test_pauses_between_restarts():
    failing, answering = Backoff(), Backoff()
    assert [failing.next_pause(now, has_answered=False) for now in range(7)] == [0, 1, 2, 4, 8, 16, 30]
    assert [answering.next_pause(now, has_answered=True) for now in range(5)] == [0, 1, 2, 4, 4]
    assert failing.next_pause(100, has_answered=False) == 0

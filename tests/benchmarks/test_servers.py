"""Processes that are paused while others are measured."""

import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.performance.loadgen.usage import cpu_ms, resident_mib
from benchmarks.servers import ProcessTree, Server


@pytest.fixture
def child():
    program = "print('busy', flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        yield ProcessTree("busy", process.pid)
        process.kill()


def test_a_paused_process_uses_no_processor_time(child: ProcessTree):
    child.pause()
    until = time.monotonic() + 30
    while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < until
        time.sleep(0.01)
    before = cpu_ms(child)
    assert sum(resident_mib(child).values()) > 1
    time.sleep(0.1)
    assert cpu_ms(child) == before
    child.resume()
    until = time.monotonic() + 30
    while cpu_ms(child) == before:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_triton_is_never_paused():
    # Triton's processes are recognised by the first word of their command line.
    process = subprocess.Popen(["tritonserver", "60"], executable="/bin/sleep")
    try:
        Server("server", process.pid, "", "", "cpu").pause()
        assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
    finally:
        process.kill()
        process.wait()


def test_a_process_that_has_ended_is_no_error():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ProcessTree("gone", gone.pid).pause()
    assert cpu_ms(ProcessTree("gone", gone.pid)) == {}

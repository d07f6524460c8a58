"""What the launcher writes, and that nobody has to read it."""

import json
import os
import subprocess
import sys
import time

import pytest

from server.process.managed_process import ManagedProcess
from server.process.output import STDOUT, Output
from server.process.relay import RepeatLimit


def written(capfd, output: Output) -> tuple[str, str]:
    output.close()
    return capfd.readouterr()


def test_text(capfd):
    output = Output()
    output.announce("hello", STDOUT, message="unused")
    output.log("WARNING", "a process ended")
    output.relay("triton", b"as it is")
    out, err = written(capfd, output)
    assert out == "hello\n"
    line, relayed = err.splitlines()
    assert line.endswith(" WARNING server: a process ended")
    assert relayed == "as it is"


def test_json_lines(capfd):
    output = Output("json")
    output.announce("a banner\nof several lines", STDOUT, message="ready", url="u")
    output.announce("starting")
    output.log("WARNING", "a process ended")
    output.relay("gateway", b'{"level": "INFO", "message": "its own"}\n')
    output.relay("gateway", b"libpng warning: iCCP: known incorrect sRGB profile\n")
    output.relay("gateway", b"{not JSON\n")
    output.relay("triton", b'E1128 12:07:40.780277 24625 server.cc:241] "has \\"not\\" been\\ninitialized"\n')
    output.relay("triton", b"I1128 12:07:40.780277 24625 server.cc:241] \n")
    output.relay("triton", b"\n")
    out, err = written(capfd, output)
    told = [json.loads(line) for line in (out + err).splitlines()]
    assert all(set(line) >= {"level", "message"} for line in told)
    assert [(line["level"], line.get("logger"), line["message"]) for line in told] == [
        ("INFO", "server", "ready"),
        ("INFO", "server", "starting"),
        ("WARNING", "server", "a process ended"),
        ("INFO", None, "its own"),
        ("INFO", "gateway", "libpng warning: iCCP: known incorrect sRGB profile"),
        ("INFO", "gateway", "{not JSON"),
        ("ERROR", "triton", 'has "not" been\ninitialized'),
    ]
    assert told[0]["url"] == "u"
    assert told[-1]["source"] == "server.cc:241"


WRITER = """
import sys, time
from server.process.managed_process import ManagedProcess
from server.process.output import Output
output = Output()
chatty = "import sys\\nfor n in range(200000): print('line', n)\\nopen(sys.argv[1], 'w').close()"
child = ManagedProcess("a child", [sys.executable, "-c", chatty, sys.argv[1]], {}, output, source="x")
child.start()
while child.exit_code() is None:
    output.log("WARNING", "a message of the launcher")
    time.sleep(0.01)
output.close()
sys.exit(child.exit_code())
"""


@pytest.mark.parametrize("reader", ["gone", "reads nothing", "closed"])
def test_nobody_has_to_read(reader, tmp_path):
    """`| head`, a collector that hangs, `2>&-`: the child's pipe is read to the end, and nothing waits."""
    done = tmp_path / "done"
    command = [sys.executable, "-c", WRITER, str(done)]
    if reader == "closed":
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    read_end, write_end = os.pipe()
    process = subprocess.Popen(command, stderr=write_end)
    os.close(write_end)
    if reader == "gone":
        os.close(read_end)
    assert process.wait(60) == 0
    assert done.exists(), "the child could not write all its lines"
    if reader != "gone":
        os.close(read_end)


def test_lines_that_repeat_are_counted():
    limit = RepeatLimit(10)
    shown = [n for n in range(100) if limit.passes(b"request %d failed" % n, n * 0.05)]
    assert shown == [0]
    assert limit.passes(b"something else", 5)
    assert limit.summaries(6) == []
    assert limit.summaries(10) == [b"request 99 failed (99 such lines in 10 s)\n"]
    assert limit.summaries(10.1) == []
    assert not limit.passes(b"request 100 failed", 11)
    assert limit.summaries(12, all_of_them=True) == [b"request 100 failed (1 such lines in 2 s)\n"]


def test_a_line_without_end_is_passed_on_in_parts(capfd):
    output = Output()
    script = "import sys; sys.stdout.write('~' * 200_000 + '\\nlast'); sys.stdout.flush()"
    child = ManagedProcess("a child", [sys.executable, "-c", script], {}, output, source="x")
    child.start()
    until = time.monotonic() + 20
    while child.exit_code() is None and time.monotonic() < until:
        time.sleep(0.05)
    child.stop(10)
    output.close()
    told = capfd.readouterr().err  # once: what is written while it empties the file would be lost
    assert told.count("~") == 200_000
    assert told.endswith("last\n")

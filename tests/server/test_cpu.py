import platform

import pytest

from server import cpu
from server.cpu import cpu_flags


@pytest.mark.skipif(platform.machine() != "x86_64", reason="sse2 is x86-64's")
def test_the_flags_are_those_of_this_cpu():
    assert "sse2" in cpu_flags()
    assert "made_up" not in cpu_flags()


def test_there_are_none_where_linux_does_not_say(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "cpuinfo")
    assert cpu_flags() == set()
    cpu._CPUINFO.write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert cpu_flags() == set()

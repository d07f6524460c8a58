import platform

import pytest

from server.cpu import cpu_flags


@pytest.mark.skipif(platform.machine() != "x86_64", reason="sse2 is x86-64's")
def test_the_flags_are_those_of_this_cpu():
    assert "sse2" in cpu_flags()
    assert "made_up" not in cpu_flags()

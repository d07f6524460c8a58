"""The short form of `make chaos`: a few faults on one server. Its time limits are generous."""

import pytest

from tests.chaos.faults import faults
from tests.chaos.measure import chaos_server, kill_everything, measure, stopped_cleanly

SHORT = ("stage postprocess killed", "a stage killed again, 3 s after it was back", "Triton stopped", "gateway stopped")
BUSY = 4  # times the goal, on a machine that does other work beside


@pytest.fixture(scope="module")
def server(free_ports, tmp_path_factory):
    with chaos_server(free_ports(4), tmp_path_factory.mktemp("chaos")) as serving:
        yield serving
        assert stopped_cleanly(serving) == []


@pytest.fixture(scope="module")
def server_of_two_workers(free_ports, tmp_path_factory):
    with chaos_server(free_ports(4), tmp_path_factory.mktemp("workers"), SOD_WORKERS="2") as serving:
        yield serving
        assert stopped_cleanly(serving) == []


@pytest.mark.parametrize(
    "fault", [fault for fault in faults() if fault.name in SHORT or fault.workers > 1], ids=lambda fault: fault.name
)
def test_a_fault_under_load(request, fault):
    result = measure(request.getfixturevalue("server_of_two_workers" if fault.workers > 1 else "server"), fault)
    assert result.wrong == 0
    assert result.hung == 0
    assert result.bystander == ""
    assert set(result.statuses) <= {200, 503, 504}
    assert 0 < result.back_s < BUSY * fault.goal_s
    assert result.log_lines <= 1
    if fault.replaces == "Triton":
        assert result.cut == 0


def test_after_a_kill_of_everything_the_next_start_removes_what_is_left(free_ports, tmp_path):
    result = kill_everything(free_ports(4), tmp_path)
    assert result.leftovers == []
    assert set(result.statuses) == {200}
    assert result.wrong == 0

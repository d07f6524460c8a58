"""A quick run on a busy machine gives no verdict, and says why."""

import time

import psutil
import pytest

from benchmarks.performance.other_programs import sample, spent_since
from benchmarks.performance.report.markdown import markdown
from tests.benchmarks.performance.results import document, load, profile

IDLE = {"busy": 0.02, "steal": 0.0, "load_average": 0.1}
BEFORE, DURING = "before the start", "during the measurements"


def report(before, others, *, quick=True):
    run = document(load={**load(cpu_bf16=profile(10, 9, 8)), "others": others})
    run["options"]["quick"] = quick
    run["other_programs"] = {**IDLE, **before}
    return markdown(run)


def test_an_idle_machine_has_a_verdict():
    text = report({}, [0.01, 0.02])
    assert "| 0.90 x | ≥ 0.85 x | met |" in text
    assert "verdict" not in text.lower()


@pytest.mark.parametrize(
    ("before", "others", "reason"),
    [
        ({"busy": 0.4}, [0.01], f"other programs used 40% of the processors {BEFORE}"),
        ({"load_average": 2.5}, [0.01], f"the load average was 2.5 a core {BEFORE}"),
        ({"steal": 0.2}, [0.01], f"other virtual machines took 20% of the processors {BEFORE}"),
        ({}, [0.01, 0.3, 0.5], f"other programs took 30% of the processors {DURING}"),
    ],
)
def test_a_busy_machine_has_none(before, others, reason):
    text = report(before, others)
    assert f"**No verdict: {reason}. Measure again on an idle machine.**" in text
    assert "| 0.90 x | ≥ 0.85 x | no verdict |" in text
    assert "| met |" not in text
    assert "not met" not in text


def test_a_long_run_judges_and_warns():
    text = report({"busy": 0.4}, [0.3], quick=False)
    assert "| met |" in text
    assert "Other programs took 30% of the processors" in text


def test_what_others_use_is_measured():
    before = psutil.cpu_times()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        pass
    spent = spent_since(before)
    assert 150 < spent.busy_ms <= spent.all_ms
    assert 0 <= spent.steal_ms <= spent.busy_ms
    seen = sample(0.1)
    assert seen.keys() == IDLE.keys()
    assert 0 <= seen["busy"] <= 1

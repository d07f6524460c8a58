"""The targets: their ratios within a round, and whether they are met."""

import math

import pytest

from benchmarks.performance.report.figures import median, ratio, spread
from benchmarks.performance.report.targets import targets
from tests.benchmarks.performance.results import clients, load, profile, turn


def find_target(words, **results):
    """The one target whose description contains these words."""
    (one,) = [one for one in targets({"model": "PP-YOLOE_plus_SOD-S", **results}) if words in one.what]
    return one


def test_a_ratio_is_taken_round_by_round():
    # Both were half as fast in the second round; the ratio of the medians would not show that.
    assert ratio([8, 4, 16], [10, 5, 20]) == pytest.approx(0.8)
    assert math.isnan(ratio([], [1.0]))
    assert ratio([3.0, 4.0], [0.0, 2.0]) == 2


def test_medians_leave_missing_values_out():
    assert median([1.0, math.nan, 3.0]) == 2
    assert math.isnan(median([]))
    assert spread([9.0, 10.0, 11.0]) == pytest.approx(0.2)


@pytest.mark.parametrize(("ensemble", "passed"), [(8.6, True), (8.4, False)])
def test_ensemble_against_the_bare_detector(ensemble, passed):
    one = find_target("cpu: ensemble / engine alone", load=load(cpu=profile(10, ensemble, 8)))
    assert one.value == pytest.approx(ensemble / 10)
    assert one.passed is passed


def test_processor_time_outside_the_detector_leaves_the_detector_out():
    assert find_target("outside the detector, ensemble", load=load(cpu=profile(10, 9, 8))).value == pytest.approx(23)


def test_latency_alone():
    one = find_target("latency at 1", load=load(cpu=profile(10, 8, 8)))
    assert one.value == pytest.approx(25)  # 125 ms less 100 ms
    assert one.passed is False


def test_p99_and_losses_at_16():
    peak = profile(10, 9, 8)
    one = find_target("p99 at 16", load=load(cpu=peak))
    assert one.value == pytest.approx(1.5)
    assert one.passed
    peak["clients"]["gateway"]["16"][1]["errors"] = 2
    lost = find_target("not answered", load=load(cpu=peak))
    assert (lost.value, lost.passed) == (2, False)


def test_against_paddlex():
    section = load(cpu_bf16=profile(12, 11, 9), cpu_regular=profile(4, 4, 3.9, backend="paddle"))
    section["paddlex"] = {"clients": clients(3.5, 3, names=("PaddleX", "PaddleX, overlay"))}
    assert find_target("cpu_bf16: gateway with overlay / PaddleX", load=section).value == pytest.approx(3)
    assert find_target("cpu_regular / PaddleX, with overlay", load=section).value == pytest.approx(1.3)
    assert find_target("cpu_regular / PaddleX, without", load=section).passed is False
    accuracy = {"profiles": {"cpu_bf16": {"passed": True}, "cpu_regular": {"passed": True}}}
    best = find_target("fastest that passes", load=section, accuracy=accuracy)
    assert best.what.startswith("cpu_bf16")
    assert best.passed is False


def test_a_precision_that_fails_the_accuracy_check_is_not_the_fastest():
    section = load(cpu_int8=profile(20, 18, 16), cpu_bf16=profile(12, 11, 9))
    section["paddlex"] = {"clients": clients(3.5, 3, names=("PaddleX", "PaddleX, overlay"))}
    accuracy = {"profiles": {"cpu_bf16": {"passed": True}, "cpu_int8": {"passed": False}}}
    assert find_target("fastest that passes", load=section, accuracy=accuracy).what.startswith("cpu_bf16")


def test_int8_against_bf16():
    section = load(cpu_int8=profile(16, 15, 14), cpu_bf16=profile(10, 9, 8))
    assert find_target("INT8 / BF16, engine alone", load=section).value == pytest.approx(1.6)


def test_the_large_model_has_targets_of_its_own():
    results = {"model": "PP-YOLOE_plus_SOD-largesize-L", "load": load(cpu=profile(0.2, 0.19, 0.18))}
    throughput, memory = targets(results)
    assert (throughput.number, throughput.passed) == ("5", True)
    assert memory.value == pytest.approx(2)
    assert memory.passed is False


def test_stages_and_memory():
    stages = {"synthetic": {"640": {"preprocess_ms": 6, "postprocess_ms": 3, "candidates": 3000}}}
    assert find_target("at 640", stages=stages).passed
    soak = {"minutes": 10, "early_mib": 1000.0, "later_mib": 1030.0, "mib": []}
    assert find_target("growth", soak=soak).passed is False


def test_a_target_that_was_not_measured_is_neither_met_nor_missed():
    only_one = profile(10, 9, 8)
    for by_clients in only_one["clients"].values():
        del by_clients["16"]
    assert find_target("p99 at 16", load=load(cpu=only_one)).passed is None


def test_a_target_without_a_response_is_not_met():
    dead = profile(10, 9, 8)
    dead["clients"]["gateway, overlay"]["16"] = [turn(0.0, math.nan, requests=0, errors=5)]
    assert find_target("p99 at 16", load=load(cpu=dead)).passed is None

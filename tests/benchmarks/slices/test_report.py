"""The report of `sod bench slices`, from invented figures."""

import pytest

from benchmarks.slices.report import goals, markdown


def sizes(whole: float, sliced: float) -> dict:
    return {
        "whole": {"ap": whole, "ap50": 0.8, "ap_small": 0.3, "labelled": 10},
        "640 x 640": {"ap": whole + 0.01, "ap50": 0.8, "ap_small": 0.3, "labelled": 10},
        "320 x 320": {"ap": sliced, "ap50": 0.9, "ap_small": 0.4, "labelled": 10},
    }


def profile(answer: float, sahi: float, precision: str) -> dict:
    """In the second round the machine was half as fast for everybody."""
    return {
        "precision": precision,
        "slices": 40,
        "same_objects": 0.98,
        "answer_s": [answer, 2 * answer],
        "engine_throughput": [10.0, 5.0],
        "sahi_s": [sahi, 2 * sahi],
    }


@pytest.fixture
def results() -> dict:
    return {
        "accuracy": {"images": 28, "class": "car", "profiles": {"cpu_high_performance": sizes(0.52, 0.58)}},
        "scenes": {
            "scenes": 32,
            "mosaics": 2,
            "profiles": {
                "cpu_int8": {
                    "single scenes": {"ap": 0.3, "ap50": 0.5},
                    "mosaics, whole": {"ap": 0.0, "ap50": 0.01},
                    "mosaics, slices of 640 x 640": {"ap": 0.2, "ap50": 0.45},
                    "mosaics, slices of 1360 x 765": {"ap": 0.3, "ap50": 0.49},
                }
            },
        },
        "merge": {"25000": {"nms": {"ms": 40.0}}, "100000": {"nms": {"ms": 300.0}}},
        "speed": {
            "sahi": "SAHI 0.12.8",
            "model": "S",
            "profiles": {"cpu_high_performance": profile(4.4, 8.8, "FP32"), "cpu_int8": profile(2.2, 5.0, "INT8")},
        },
        "memory": {
            "side": 100,
            "decoded_mib": 10.0,
            "plain": {"idle_mib": 50.0, "peak_mib": 80.0, "slices": 9, "seconds": 1.0},
            "overlay": {"idle_mib": 50.0, "peak_mib": 90.0, "slices": 9, "seconds": 1.0},
        },
        "latency": {
            "clients": 4,
            "huge": 3,
            "alone": [{"throughput": 8.0, "p50": 400.0, "p95": 500.0}],
            "beside": [{"throughput": 5.0, "p50": 700.0, "p95": 900.0}],
        },
    }


def test_each_goal_is_judged(results):
    assert {one.what: (round(one.value, 4), one.met) for one in goals(results)} == {
        "cpu_high_performance: car AP, slices of 320 x 320 over whole": (6.0, True),
        "cpu_int8: AP50 lost, mosaics, slices of 1360 x 765": (1.0, True),
        "merge of 25,000 boxes, nms": (40.0, True),
        "merge of 100,000 boxes, nms": (300.0, False),
        "cpu_high_performance: whole answer / (slices / engine alone)": (1.1, True),
        "cpu_high_performance: speed / SAHI's": (2.0, True),
        "cpu_int8: whole answer / (slices / engine alone)": (0.55, True),
        "cpu_int8: speed / SAHI's": (2.2727, True),
        "cpu_int8 (fastest): speed / SAHI's in FP32": (4.0, True),
        "memory over idle / decoded size, 100 x 100, plain": (3.0, True),
        "memory over idle / decoded size, 100 x 100, overlay": (4.0, False),
        "p95 of small images beside a huge one / alone": (1.8, True),
    }


def test_the_report_has_every_section(results):
    text = markdown(results)
    assert "| memory over idle / decoded size, 100 x 100, overlay | 4.00 x | ≤ 3.5 x | **not met** |" in text
    assert "| cpu_int8 | INT8 | 40 | 3.30 | 7.50 | 7.50 | 98.0% |" in text
    assert "| cpu_high_performance | 320 x 320 | 58.00 | 90.00 | 40.00 |" in text
    assert "| beside | 5.00 | 700.00 | 900.00 |" in text


def test_without_sahi_nothing_is_compared_with_it(results):
    for one in results["speed"]["profiles"].values():
        one["sahi_s"] = []
    assert not any("SAHI" in one.what for one in goals({"speed": results["speed"]}))
    assert "| cpu_int8 | INT8 | 40 | 3.30 | 7.50 | - | - |" in markdown({"speed": results["speed"]})

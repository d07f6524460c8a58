"""The report of every section, and the plots."""

import json
import math
from pathlib import Path

import cv2

from benchmarks.performance import machine
from benchmarks.performance.report.markdown import markdown
from benchmarks.performance.report.plots import draw
from tests.benchmarks.performance.results import clients, document, load, profile, turn

STAGES = {
    "profiles": {
        "cpu_bf16": {
            concurrency: {"preprocess_640": 7.0, "S_detector": 90.0, "postprocess": 2.0, "receive and send": 1.0}
            for concurrency in ("1", "8")
        }
    },
    "synthetic": {"640": {"preprocess_ms": 6.0, "postprocess_ms": 3.0, "candidates": 3000}},
}
SOAK = {
    "profile": "cpu_bf16",
    "minutes": 0.1,
    "requests": 60,
    "errors": 0,
    "mib": [800.0] * 6,
    "early_mib": 800.0,
    "later_mib": 801.0,
}
ACCURACY = {
    "reference": "cpu_high_performance",
    "images": 2,
    "objects": 84,
    "labels": "val",
    "profiles": {
        "cpu_high_performance": {"precision": "FP32", "matched": 1.0, "limit": 0.97, "passed": True, "ap": 0.25},
        "cpu_bf16": {"precision": "BF16", "matched": 0.85, "limit": 0.9, "passed": False, "ap": 0.248},
    },
}
REQUESTS = {
    "profile": "cpu_bf16",
    "turns": [
        {
            "image": {"name": "a.jpg", "width": 1360, "height": 765, "bytes": 195_638},
            "form": "multipart",
            "visualize": True,
            "rounds": [turn(8, 900)],
        }
    ],
}


def both_profiles():
    section = load(cpu_high_performance=profile(10, 9, 8), cpu_bf16=profile(20, 18, 16, precision="BF16"))
    section["paddlex"] = {"clients": clients(3.5, 3, names=("PaddleX", "PaddleX, overlay"))}
    return section


def rows(text: str, begin: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {begin}")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_throughput_has_its_share_of_the_engine_alone():
    text = markdown(document(load=both_profiles()))
    ensemble = [row for row in rows(text, "ensemble") if row[1] == "8"]
    assert [row[4] for row in ensemble] == ["90%", "90%"]
    assert "one image on all cores: 100.0 ms" in text


def test_paddlex_is_compared_with_its_own_engine():
    section = both_profiles()
    section["profiles"]["cpu_regular"] = profile(4, 4, 4, backend="paddle")
    text = markdown(document(load=section))
    assert next(row for row in rows(text, "PaddleX, overlay") if row[1] == "8")[4] == "75%"


def test_latency_with_one_client_beside_the_published_one():
    text = markdown(document(load=both_profiles()))
    assert rows(text, "PP-YOLOE_plus_SOD-S, here") == [["PP-YOLOE_plus_SOD-S, here", "- / -", "- / 111.1"]]
    assert "| PP-YOLOE_plus_SOD-S, published | 135.7 / 122.9 | 188.1 / 107.7 |" in text


def test_the_speed_of_a_precision_beside_its_accuracy():
    text = markdown(document(load=both_profiles(), accuracy=ACCURACY))
    assert rows(text, "cpu_bf16")[0] == ["cpu_bf16", "BF16", "2.00 x", "85.0%", "90% **failed**", "24.80", "-0.20"]


def test_all_other_sections():
    grid = {"missing": "", "profiles": {"cpu_bf16": {"ensemble": {"1": [{"throughput": 10.0, "p50": 99.0}]}}}}
    parts = {"load": both_profiles(), "stages": STAGES, "requests": REQUESTS, "perf_analyzer": grid, "soak": SOAK}
    text = markdown(document(**parts, plots=["a.png"]))
    assert "detector 90.0; postprocess 2.0" in text
    assert rows(text, "1360x765, 196 kB")[0][1:5] == ["multipart", "yes", "8.00", "40%"]
    assert rows(text, "cpu_bf16 | ensemble")[0][3:5] == ["10.00", "50%"]
    assert "801 MiB in the later one" in text
    assert "![a.png](a.png)" in text
    assert "Not run: no wheel" in markdown(document(perf_analyzer={"missing": "no wheel", "profiles": {}}))


def test_a_busy_machine_is_reported():
    noisy = both_profiles()
    assert "Other programs" not in markdown(document(load=noisy))
    noisy["others"] = [0.4, 0.6]
    assert "**Other programs took 50% of the processors" in markdown(document(load=noisy))


def test_a_report_without_results():
    assert "## PP-YOLOE_plus_SOD-S" in markdown(document())


def test_a_server_that_never_answered():
    dead = profile(10, 9, 8)
    dead["clients"]["ensemble"]["8"] = [turn(0.0, math.nan, requests=0, errors=3)]
    text = markdown(document(load=load(cpu_bf16=dead)))
    assert next(row for row in rows(text, "ensemble") if row[1] == "8")[8] == "3"


def test_plots(tmp_path: Path):
    files = draw("S", {"load": both_profiles(), "stages": STAGES, "soak": SOAK}, tmp_path)
    assert files == ["S-load.png", "S-stages.png", "S-soak.png"]
    for file in files:
        image = cv2.imread(str(tmp_path / file))
        assert image.shape[0] > 200
        assert image.std() > 5
    assert draw("S", {}, tmp_path) == []


def test_this_machine_can_be_described():
    described = machine.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["cores"] >= 1
    assert described["packages"]["numpy"]
    assert described["cpu"] in markdown({**document(), "machine": described})


def test_a_field_of_cpuinfo():
    text = "processor\t: 0\nmodel name\t: A: CPU\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nmodel name\t: other\n"
    assert machine.cpu_field(text, "model name") == "A: CPU"
    assert machine.cpu_field(text, "Hardware") == ""

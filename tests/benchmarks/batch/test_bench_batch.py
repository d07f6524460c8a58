"""The targets of `sod bench batch`, and its runs with few images."""

from pathlib import Path
from typing import Any

import pytest
from sod_client import DependencyError
from sod_client._archives import packages

from benchmarks.batch import cli, cluster, kills
from benchmarks.batch.report import markdown, targets
from benchmarks.batch.runs import make_images
from benchmarks.performance.errors import BenchmarkError

_RUNS = [
    {"images": 2000, "peak_mib": 120.0, "processor_s": 5.0, "seconds": 6.0},
    {"images": 20_000, "peak_mib": 130.0, "processor_s": 50.0, "seconds": 60.0},
]
_GOOD: dict[str, Any] = {
    "throughput": {"batch": [10.0], "raw": [10.2], "ratio": 0.98, "concurrency": 8},
    "memory": {"cpu_ms": 2.5, "runs": _RUNS},
    "kills": {
        "kills": {"client": 2, "raylet": 2},
        "asked": {"client": 2, "raylet": 2},
        "images": 30,
        "rows": 30,
        "paths": 30,
        "differing": [],
    },
    "cluster": {"sleep_s": 0.1, "nodes": {"1": {"rate": 20.0}, "2": {"rate": 39.0}}},
}


def test_good_figures_meet_every_target() -> None:
    assert len(targets(_GOOD)) == 8
    assert all(target.met for target in targets(_GOOD))
    assert "not met" not in markdown(_GOOD)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("throughput", {"ratio": 0.94}),
        ("memory", {"cpu_ms": 5.1}),
        ("memory", {"runs": [_RUNS[0], {**_RUNS[1], "peak_mib": 153.0}]}),
        ("kills", {"kills": {"client": 2, "raylet": 1}}),
        ("kills", {"rows": 31}),
        ("kills", {"paths": 29}),
        ("kills", {"differing": ["images-00000.parquet"]}),
        ("cluster", {"nodes": {"1": {"rate": 20.0}, "2": {"rate": 35.0}}}),
    ],
)
def test_a_figure_beyond_its_limit_is_not_met(section: str, change: dict[str, Any]) -> None:
    results = {section: {**_GOOD[section], **change}}
    assert sum(not target.met for target in targets(results)) == 1
    assert "**not met**" in markdown(results)


def test_a_difference_is_seen(tmp_path: Path) -> None:
    for name, content in (("one", b"1"), ("other", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "images-00000.parquet").write_bytes(content)
    (tmp_path / "other/images-00001.parquet").write_bytes(b"3")
    assert kills._differing(tmp_path / "one", tmp_path / "other") == ["images-00000.parquet", "images-00001.parquet"]
    assert kills._differing(tmp_path / "one", tmp_path / "one") == []


def test_images_are_made_of_few(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "images", None, 120)
    files = sorted(folder.rglob("*.jpg"))
    assert len(files) == 120
    assert len({file.stat().st_ino for file in files}) == 16
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchmarkError, match=r"no \.jpg file"):
        make_images(tmp_path / "more", tmp_path / "empty", 3)


def test_what_cannot_be_measured_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "pip install './clients/python[ray]'" in cluster.problem()

    def missing(_: str) -> None:
        raise DependencyError("pyarrow is missing")

    monkeypatch.setattr(packages, "arrow", missing)
    assert cli.main(["--sections", "kills", "cluster"]) == 0
    assert capsys.readouterr().err.count("left out: pyarrow is missing") == 2

"""The targets of `sod bench watch`, its measures, and its film."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sod_client._streams.counting import shapes
from sod_client._streams.counting.lines import LineCounter

from benchmarks.watch import cli, cost, film
from benchmarks.watch.metrics import Frames, hota, idf1, mota
from benchmarks.watch.report import markdown, targets
from benchmarks.watch.street import film as street
from benchmarks.watch.tracking import oracle_problem

_SCORES = {"hota": 0.7, "mota": 0.8, "idf1": 0.9, "switches": 1}
_GOOD: dict[str, Any] = {
    "tracking": {
        "oracle": "supervision 0.27.0",
        "rows": [{"boxes": "exact boxes", "rate": 25.0, "ours": _SCORES, "oracle": {**_SCORES, "hota": 0.6}}],
    },
    "counting": {"rows": [{"seed": 0, "rate": 25, "exact": 20, "counted": 20, "wrong": 0}]},
    "lag": {"answer_s": 0.1, "lag_s": {"median": 0.12, "max": 0.14}, "ratio": 1.4, "results": 90, "dropped": 400},
    "memory": {"stream_s": 3600.0, "speed": 10.4, "mib": [90.0, *[100.0] * 6, 110.0], "results": 900, "dropped": 100},
    "cpu": {
        "size": [1360, 764],
        "objects": 20.0,
        "ms": {"decode": 4.0, "convert": 1.0, "encode": 50.0, "track": 2.0, "draw": 4.0},
    },
    "throughput": {"watch": [10.0, 9.0], "raw": [10.0, 9.2], "ratio": 0.99, "concurrency": 4},
    "detector": {"exact": {"car": {"in": 20}}, "counted": {"car": {"in": 19, "out": 1}, "van": {"out": 2}}},
    "still": {"truth": 100, "sliced": 80, "skipped": 79, "sent": 0.4},
}


def test_good_figures_meet_every_target() -> None:
    assert len(targets(_GOOD)) == 10
    assert all(target.met for target in targets(_GOOD))
    text = markdown(_GOOD)
    assert "not met" not in text
    assert "| van | 0 | 0 | 0 | 2 |" in text
    assert "0.7900 | 40 %" in text


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("counting", {"rows": [{"seed": 0, "rate": 25, "exact": 20, "counted": 20, "wrong": 2}]}),
        ("lag", {"ratio": 1.6}),
        ("memory", {"speed": 9.9}),
        ("memory", {"mib": [90.0, *[100.0] * 6, 117.0]}),
        ("cpu", {"ms": {"decode": 4.0, "convert": 2.0, "track": 2.0, "draw": 4.1}}),
        ("throughput", {"ratio": 0.94}),
        ("throughput", {"ratio": float("nan")}),
        ("detector", {"counted": {"car": {"in": 17}}}),
        ("detector", {"counted": {}}),
    ],
)
def test_a_figure_beyond_its_limit_is_not_met(section: str, change: dict[str, Any]) -> None:
    results = {section: {**_GOOD[section], **change}}
    assert sum(not target.met for target in targets(results)) == 1
    assert "**not met**" in markdown(results)


def test_without_an_oracle_the_figures_stand_alone() -> None:
    row = {**_GOOD["tracking"]["rows"][0], "oracle": None}
    results = {"tracking": {"oracle": "supervision is not installed", "rows": [row]}}
    assert targets(results) == []
    assert "The oracle is left out: supervision is not installed." in markdown(results)


def test_measures_of_known_cases() -> None:
    box = np.array([[0.0, 0.0, 10.0, 10.0]])
    truth: Frames = [(np.array([1]), box)] * 10
    same: Frames = [(np.array([7]), box)] * 10
    half: Frames = [(np.array([7 if frame < 5 else 8]), box) for frame in range(10)]
    none: Frames = [(np.zeros(0, int), np.zeros((0, 4)))] * 10
    assert (idf1(truth, same), mota(truth, same), hota(truth, same)) == (1.0, (1.0, 0), pytest.approx(1.0))
    assert idf1(truth, half) == 0.5
    assert mota(truth, half) == (0.9, 1)
    assert hota(truth, half) == pytest.approx(0.5**0.5)
    assert idf1(truth, none) == 0.0


def test_the_sections_of_made_boxes_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert cli.main(["--sections", "counting", "counting", "--seeds", "1", "--json", str(file)]) == 0
    assert "| wrong crossings with drop-outs and jitter | 0 | ≤ 0 | met |" in capsys.readouterr().out
    assert json.loads(file.read_text())["results"]["counting"]["rows"][0]["counted"] > 5
    assert oracle_problem() == "" or "supervision" in oracle_problem()
    assert len(street(1, seed=0).truth) == 25


def test_the_sections_of_live_streams_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    words = ["--sections", "lag", "memory", "--lag-seconds", "2", "--stream-seconds", "20", "--json", str(file)]
    assert cli.main(words) in {0, 1}  # on a busy machine, targets may be missed
    found = json.loads(file.read_text())["results"]
    assert set(found) == {"lag", "memory"}, capsys.readouterr().err
    lag, memory = found["lag"], found["memory"]
    assert lag["answer_s"] >= 0.1
    assert 0.1 <= lag["lag_s"]["median"] <= lag["lag_s"]["max"]
    assert lag["dropped"] > lag["results"] > 5
    assert 3 < memory["speed"] < 11
    assert memory["results"] + memory["dropped"] <= 20 * 25
    assert len(memory["mib"]) == 8
    assert memory["mib"][-1] > 20


def test_a_section_without_its_package_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_PACKAGES", {"still": ("no_such_module",)})
    assert cli.main(["--sections", "still"]) == 0
    assert "left out: still needs the Python module no_such_module" in capsys.readouterr().err


def test_a_film_is_drawn_once_with_its_truth(tmp_path: Path) -> None:
    made = film.film(tmp_path, 0.2)
    written = made.path.stat().st_mtime_ns
    assert film.film(tmp_path, 0.2).path.stat().st_mtime_ns == written
    assert len(made.ids) == len(made.boxes) == 5
    assert len(made.ids[0]) > 8
    assert len(set(made.ids[0].tolist())) == len(made.ids[0])
    same = {one: k for k, one in enumerate(made.ids[4].tolist())}
    moved = [
        np.abs(made.boxes[0][k] - made.boxes[4][same[one]]).max() for k, one in enumerate(made.ids[0]) if one in same
    ]
    assert 0 < np.median(moved) < 40
    found = cost.stages(made, tmp_path)
    assert found["frames"] == 5
    assert set(found["ms"]) == {"decode", "convert", "encode", "track", "draw", "write"}


def test_crossings_of_a_film_are_those_of_its_traffic() -> None:
    traffic = film.movers(10, seed=3)
    crossed = [one for one in traffic if (one.along(0) < 0) != (one.along(10) < 0)]
    assert len(crossed) > 5
    assert all(abs(one.along(time)) > 8 for one in traffic for time in (0, 10))
    assert [one.start for one in traffic] == [one.start for one in film.movers(10, seed=3)]

    camera, line = film.camera_of_film()
    counter = LineCounter(shapes.lines(line)[0])
    for frame in range(10 * film.RATE):
        for one in traffic:
            if abs(one.along(frame / film.RATE)) < 12:
                corners = np.concatenate([solid.corners for solid in one.at(frame / film.RATE).solids])
                points, _ = camera.project(corners)
                counter.update(one.number, one.name, [*points.min(0), *points.max(0)])
    exact = film.crossings(camera, traffic, line, 10)
    assert dict(counter.counts) == {
        (direction, name): count for name, counts in exact.items() for direction, count in counts.items()
    }
    assert sum(counter.counts.values()) > 5

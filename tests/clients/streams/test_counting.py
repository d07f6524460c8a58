"""Lines and zones: directions, flicker, hidden objects, and the names and forms in which they are given."""

import json
from pathlib import Path

import pytest
from sod_client import InvalidConfigError, MissingFileError, create_pipeline
from sod_client._streams.counting import shapes
from sod_client._streams.counting.lines import LineCounter
from sod_client._streams.counting.zones import Change, ZoneCounter

from tests.clients.conftest import FakeServer
from tests.clients.streams.conftest import Run


def at(x: float, y: float = 50.0, size: float = 10.0) -> list[float]:
    return [x - size / 2, y - size / 2, x + size / 2, y + size / 2]


def cross(points: str, *places: tuple[float, float]) -> list[str | None]:
    line = LineCounter(shapes.lines(points)[0])
    return [line.update(1, "car", at(*place)) for place in places]


def test_directions() -> None:
    """Seen from the first point towards the second, `in` leads from the left to the right; y grows downwards."""
    assert cross("100,0,100,100", (90, 50), (110, 50), (90, 50)) == [None, "out", "in"]
    assert cross("100,100,100,0", (90, 50), (110, 50)) == [None, "in"]
    assert cross("0,50,200,50", (90, 40), (90, 60)) == [None, "in"]


def test_what_does_not_cross_is_not_counted() -> None:
    assert cross("100,0,100,100", (90, 150), (110, 150)) == [None, None]  # beside the line's end
    assert cross("100,0,100,100", (110, 50), (120, 50)) == [None, None]
    assert cross("100,0,100,100", (99, 50), (101, 50), (99, 50)) == [None] * 3  # never clearly on a side


def test_flicker_on_the_line_counts_once() -> None:
    shaking = [(80.0, 50.0)] + [(100.0 + (2.5 if k % 2 else -2.5), 50.0) for k in range(20)] + [(120.0, 50.0)]
    assert [one for one in cross("100,0,100,100", *shaking) if one] == ["out"]


def test_an_object_that_is_hidden_on_the_line_counts_once() -> None:
    assert [one for one in cross("100,0,100,100", (60, 50), (70, 50), (130, 50), (140, 50)) if one] == ["out"]


def test_a_zone_counts_who_is_inside_and_for_how_long() -> None:
    zone = ZoneCounter(shapes.zones("0,0,100,0,100,100,0,100")[0])
    places = [-20, -5, 5, -5, 20, 40, 60, 120, 60, 120, 140]  # one sighting on the other side is not enough
    changes = {k: zone.update(7, "car", at(x), float(k)) for k, x in enumerate(places)}
    assert {k: one for k, one in changes.items() if one} == {5: Change("enter", "car"), 10: Change("leave", "car", 5.0)}
    assert (zone.entered, zone.occupancy()) == ({"car": 1}, {})
    for k in (11, 12, 13):
        zone.update(8, "van", at(50), float(k))
    assert zone.occupancy() == {"van": 1}
    assert zone.forget(8) == Change("leave", "van", 2.0)
    assert zone.occupancy() == {}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("1,2,3,4", [("line 1", ((1, 2), (3, 4)))]),
        (["north=1,2,3,4", "5 6 7 8"], [("north", ((1, 2), (3, 4))), ("line 2", ((5, 6), (7, 8)))]),
        ((1, 2, 3, 4), [("line 1", ((1, 2), (3, 4)))]),
        ([(1, 2), (3, 4)], [("line 1", ((1, 2), (3, 4)))]),
        ([(1, 2, 3, 4), (5, 6, 7, 8)], [("line 1", ((1, 2), (3, 4))), ("line 2", ((5, 6), (7, 8)))]),
        ({"a": [[1, 2], [3, 4]]}, [("a", ((1, 2), (3, 4)))]),
        (None, []),
        ([], []),
    ],
)
def test_forms_of_lines(given: shapes.Shapes, wanted: list[object]) -> None:
    assert [(line.name, line.points) for line in shapes.lines(given)] == wanted


@pytest.mark.parametrize(
    "given", ["1,2,3", "1,2,1,2", "a,b,c,d", "1,2,3,nan", "1,2,3,4,5,6", {"a": 5}, ["x=1,2,3,4", "x=5,6,7,8"], [None]]
)
def test_bad_lines(given: shapes.Shapes) -> None:
    with pytest.raises(InvalidConfigError):
        shapes.lines(given)


def test_bad_zones() -> None:
    for given in ("1,2,3,4", "0,0,5,5,10,10"):
        with pytest.raises(InvalidConfigError, match="at least three points"):
            shapes.zones(given)


def test_files_of_shapes(tmp_path: Path) -> None:
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps({"lines": {"n": [1, 2, 3, 4]}, "zones": {"yard": [[0, 0], [9, 0], [9, 9]]}}))
    lines, zones = shapes.read_file(path)
    assert (lines[0].name, zones[0].points) == ("n", ((0, 0), (9, 0), (9, 9)))
    for content in ("{", "[]", "{}", '{"line": {}}', '{"lines": {"n": [1]}}', '{"lines": 5}'):
        path.write_text(content)
        with pytest.raises(InvalidConfigError, match=r"shapes\.json"):
            shapes.read_file(path)
    with pytest.raises(MissingFileError):
        shapes.read_file(tmp_path / "none.json")


def test_counts_of_a_video(video: Path, detector: FakeServer) -> None:
    with create_pipeline(url=detector.url) as pipeline:
        results = list(pipeline.watch(video, lines={"mid": (80, 0, 80, 96)}, zones=[(90, 0, 140, 0, 140, 96, 90, 96)]))
    assert {box["track_id"] for result in results for box in result.boxes} == {1}
    assert results[-1].boxes[0]["age"] == pytest.approx(35 / 25)
    assert results[-1]["counts"]["lines"] == {"mid": {"in": {}, "out": {"car": 1}}}
    zone = results[-1]["counts"]["zones"]["zone 1"]
    assert (zone["inside"], zone["entered"]) == ({}, {"car": 1})
    assert zone["mean_dwell_s"]["car"] == pytest.approx(50 / 4 / 25, abs=0.1)
    events = [event for result in results for event in result.events]
    assert [event["event"] for event in events] == ["cross", "enter", "leave"]
    assert events[0] == {
        "event": "cross", "source": str(video), "frame": events[0]["frame"], "time": events[0]["time"],
        "track_id": 1, "label": "car", "line": "mid", "direction": "out",
    }  # fmt: skip
    assert detector.requests[0][1]["threshold"] == 0.1  # low scores continue tracks
    assert detector.requests[0][1]["classAgnosticNms"] is True


def test_a_shape_outside_of_the_frames_is_noted_once(video: Path, watch: Run) -> None:
    given = ("--line", "far=200,0,300,96", "--line", "-50,48,300,48", "--zone", "low=0,97,50,97,50,200")
    code, _, err = watch(video, *given, "--duration", "0.2", "--format", "none")
    assert code == 0
    first, second = err.splitlines()
    assert "far lies outside of the frames of 160\u00d796 pixels: nothing is counted there" in first
    assert "low lies outside" in second

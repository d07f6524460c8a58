"""The lines and zones of one source."""

from collections.abc import Sequence
from typing import Any

from sod_client._streams.counting.lines import IN, OUT, LineCounter
from sod_client._streams.counting.shapes import Shape
from sod_client._streams.counting.zones import Change, ZoneCounter
from sod_client._streams.result import FrameResult


class Counter:
    """Counts the tracked objects of one source.

    Args:
        lines: whose crossings are counted.
        zones: whose occupancy is counted.
        lost_s: seconds after which an object that is not seen has gone.
    """

    def __init__(self, lines: Sequence[Shape], zones: Sequence[Shape], lost_s: float) -> None:
        self.lines = [LineCounter(line) for line in lines]
        self.zones = [ZoneCounter(zone) for zone in zones]
        self._lost_s = lost_s
        self._last: dict[int, float] = {}

    def update(self, result: FrameResult) -> None:
        """Take in the objects of a frame; adds its `events` and `counts`."""
        for box in result.boxes:
            track_id: int | None = box.get("track_id")  # type: ignore[assignment]
            if track_id is None:
                continue
            self._last[track_id] = result.time
            for line in self.lines:
                direction = line.update(track_id, box["label"], box["coordinate"])
                if direction is not None:
                    detail = {"line": line.name, "direction": direction}
                    result.events.append(_event("cross", result, track_id, box["label"], detail))
            for zone in self.zones:
                change = zone.update(track_id, box["label"], box["coordinate"], result.time)
                if change is not None:
                    result.events.append(_zone_event(result, track_id, zone, change))
        for track_id in [one for one, last in self._last.items() if result.time - last > self._lost_s]:
            del self._last[track_id]
            for line in self.lines:
                line.forget(track_id)
            for zone in self.zones:
                change = zone.forget(track_id)
                if change is not None:
                    result.events.append(_zone_event(result, track_id, zone, change))
        result["counts"] = self.counts()

    def counts(self) -> dict[str, Any]:
        """All counts since the start, by name of the line or zone, as plain data."""
        return {
            "lines": {
                line.name: {
                    direction: {label: count for (one, label), count in sorted(line.counts.items()) if one == direction}
                    for direction in (IN, OUT)
                }
                for line in self.lines
            },
            "zones": {
                zone.name: {
                    "inside": dict(sorted(zone.occupancy().items())),
                    "entered": dict(sorted(zone.entered.items())),
                    "mean_dwell_s": {
                        label: round(seconds / zone.left[label], 2) for label, seconds in sorted(zone.dwell.items())
                    },
                }
                for zone in self.zones
            },
        }


def _zone_event(result: FrameResult, track_id: int, zone: ZoneCounter, change: Change) -> dict[str, Any]:
    detail: dict[str, Any] = {"zone": zone.name}
    if change.kind == "leave":
        detail["dwell_s"] = round(change.dwell, 2)
    return _event(change.kind, result, track_id, change.label, detail)


def _event(kind: str, result: FrameResult, track_id: int, label: str, detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "event": kind,
        "source": result.input_path,
        "frame": result.frame.index,
        "time": result["time"],
        "track_id": track_id,
        "label": label,
        **detail,
    }

"""Prometheus's metrics of the sources, in its text format (version 0.0.4)."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

from sod_client._results.files import printable
from sod_client._streams.outputs.web import send
from sod_client._streams.result import FrameResult

_HELP = {
    "sod_watch_frames_total": ("counter", "Frames whose objects were detected."),
    "sod_watch_dropped_frames_total": ("counter", "Frames of a live source that were dropped for newer ones."),
    "sod_watch_lag_seconds": ("gauge", "Seconds from the decoding of the last frame until its result."),
    "sod_watch_last_frame_timestamp_seconds": ("gauge", "Unix time at which the last frame was decoded."),
    "sod_watch_gaps_total": ("counter", "Interruptions after which a live source was connected again."),
    "sod_watch_objects": ("gauge", "Objects in the last frame, by class."),
    "sod_watch_crossings_total": ("counter", "Objects that crossed a line, by direction and class."),
    "sod_watch_zone_objects": ("gauge", "Objects inside a zone, by class."),
    "sod_watch_zone_entered_total": ("counter", "Objects that entered a zone, by class."),
}
_Labels = tuple[tuple[str, str], ...]


class Metrics:
    """The values; any thread may read them."""

    def __init__(self) -> None:
        self._values: dict[str, dict[_Labels, float]] = {name: {} for name in _HELP}
        self._lock = threading.Lock()

    def update(self, result: FrameResult) -> None:
        """Take in a frame."""
        source = (("source", result.input_path or ""),)
        gaps = sum(event["event"] == "gap" for event in result.events)
        with self._lock:
            self._add("sod_watch_frames_total", source, 1)
            self._add("sod_watch_gaps_total", source, gaps)
            self._values["sod_watch_dropped_frames_total"][source] = result.dropped
            self._values["sod_watch_lag_seconds"][source] = round(result.lag, 4)
            self._values["sod_watch_last_frame_timestamp_seconds"][source] = round(result.frame.received, 3)
            self._reset("sod_watch_objects", source)
            for box in result.boxes:
                self._add("sod_watch_objects", (*source, ("class", box["label"])), 1)
            counts = result.get("counts", {})
            for line, directions in counts.get("lines", {}).items():
                for direction, classes in directions.items():
                    for label, count in classes.items():
                        crossed = (*source, ("line", line), ("direction", direction), ("class", label))
                        self._values["sod_watch_crossings_total"][crossed] = count
            self._reset("sod_watch_zone_objects", source)
            for zone, values in counts.get("zones", {}).items():
                for label, count in values["inside"].items():
                    labels = (*source, ("zone", zone), ("class", label))
                    self._values["sod_watch_zone_objects"][labels] = count
                for label, count in values["entered"].items():
                    labels = (*source, ("zone", zone), ("class", label))
                    self._values["sod_watch_zone_entered_total"][labels] = count

    def text(self) -> str:
        """All values in the text format."""
        with self._lock:
            return "".join(self._lines())

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request for the metrics."""
        send(handler, self.text(), "text/plain; version=0.0.4")

    def _lines(self) -> Iterator[str]:
        for name, (kind, text) in _HELP.items():
            yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
            for labels, value in self._values[name].items():
                named = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels)
                yield f"{name}{{{named}}} {value:.15g}\n"

    def _add(self, name: str, labels: _Labels, value: float) -> None:
        self._values[name][labels] = self._values[name].get(labels, 0) + value

    def _reset(self, name: str, source: _Labels) -> None:
        """A class that is no longer seen is 0, not absent, so that a graph goes down."""
        for labels in self._values[name]:
            if labels[: len(source)] == source:
                self._values[name][labels] = 0


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

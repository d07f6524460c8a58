"""Writes results as text: JSON Lines, CSV, and MOTChallenge's format; whole lines, flushed after each frame."""

import csv
import io
import json
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from sod_client._results.files import printable
from sod_client._streams.outputs.files import Segments
from sod_client._streams.result import FrameResult

COLUMNS = ("source", "frame", "time", "track_id", "cls_id", "label", "score", "x1", "y1", "x2", "y2")


def json_line(result: FrameResult) -> str:
    """One frame as JSON: source, frame, time, dropped, objects and, with lines or zones, counts and events."""
    fields: dict[str, Any] = {
        "source": result.input_path,
        "frame": result["frame"],
        "time": result["time"],
        "dropped": result.dropped,
        "objects": result.boxes,
    }
    if "counts" in result:
        fields["counts"] = result["counts"]
    if result.events:
        fields["events"] = result.events
    return to_line(fields)


def to_line(fields: dict[str, Any]) -> str:
    """A line of JSON."""
    return printable(json.dumps(fields, ensure_ascii=False)) + "\n"


def csv_lines(result: FrameResult) -> str:
    """One line of `COLUMNS` for each object."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for box in result.boxes:
        row = (result.input_path, result["frame"], result["time"], box.get("track_id"))
        writer.writerow([*row, box["cls_id"], box["label"], box["score"], *box["coordinate"]])
    return printable(buffer.getvalue())


def mot_lines(result: FrameResult) -> str:
    """MOTChallenge's lines: frame from 1, id (-1 without one), left, top, width, height, score, class from 1, 1."""
    lines = []
    for box in result.boxes:
        x1, y1, x2, y2 = box["coordinate"]
        track_id = box.get("track_id") or -1
        place = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
        lines.append(f"{result['frame'] + 1},{track_id},{place},{box['score']:.4f},{box['cls_id'] + 1},1\n")
    return "".join(lines)


_FORMATS = {".jsonl": json_line, ".csv": csv_lines, ".txt": mot_lines}


class LineFile:
    """A text file of whole lines, each of which is there as soon as it is written.

    Args:
        path: an existing file is replaced.
        segment_s: seconds of a file; None for one file.
        header: the first line of each file, or nothing.
    """

    def __init__(self, path: Path, segment_s: float | None, header: str = "") -> None:
        self._segments = Segments(path, segment_s)
        self._header = header
        self._file: FileIO | None = None
        self._path, self._size = path, 0
        self._has_begun = False

    def write(self, lines: str, moment: float) -> None:
        """Add lines.

        Args:
            lines: whole lines.
            moment: seconds of the source.

        Raises:
            OSError: the file cannot be written.
        """
        if self._file is None or self._segments.is_over(moment):
            self._begin(moment)
        self._put(lines)

    def close(self) -> None:
        """End the file; one without lines is there too, so that that of an earlier run is not taken for it.

        Raises:
            OSError: the file cannot be written.
        """
        if not self._has_begun:
            self._begin(0.0)
        self._end()

    def _begin(self, moment: float) -> None:
        self._end()
        self._has_begun = True
        self._path, self._size = self._segments.begin(moment), 0
        self._file = self._path.open("wb", buffering=0)
        self._put(self._header)

    def _put(self, lines: str) -> None:
        assert self._file is not None  # noqa: S101 - set by _begin
        left = memoryview(lines.encode())
        size = self._size + len(left)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            with suppress(OSError):  # a pipe has no end to cut
                self._file.truncate(self._size)  # of a line that does not fit on the disk, a part would stay
                self._file.seek(self._size)
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._size = size

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


class TextWriter:
    """Writes the results of one source, or of all.

    Args:
        path: its suffix says the format; an existing file is replaced.
        segment_s: seconds of a file; None for one file.
    """

    def __init__(self, path: Path, segment_s: float | None) -> None:
        suffix = path.suffix.lower()
        self._format = _FORMATS[suffix]
        self._file = LineFile(path, segment_s, ",".join(COLUMNS) + "\n" if suffix == ".csv" else "")

    def write(self, result: FrameResult) -> None:
        """Add a frame.

        Raises:
            OSError: the file cannot be written.
        """
        self._file.write(self._format(result), result.time)

    def close(self) -> None:
        """End the file.

        Raises:
            OSError: the file cannot be written.
        """
        self._file.close()

"""The names of output files: one for each source, and one for each segment of time."""

import time
from pathlib import Path

from sod_client.errors import InvalidConfigError

VIDEOS = (".mp4", ".mkv")
TEXTS = (".jsonl", ".csv", ".txt")


def check(path: str) -> Path:
    """The path, if its suffix says what to write.

    Raises:
        InvalidConfigError: it does not.
    """
    file = Path(path)
    if file.suffix.lower() not in (*VIDEOS, *TEXTS):
        raise InvalidConfigError(
            f"{path!r}: the suffix must be .mp4 or .mkv for a video, .jsonl for JSON Lines, .csv, or .txt for "
            "MOTChallenge's text"
        )
    return file


def of_source(path: Path, number: int, count: int) -> Path:
    """The file of one of several sources: out.mp4 becomes out_2.mp4 for the second."""
    return path if count == 1 else path.with_name(f"{path.stem}_{number + 1}{path.suffix}")


class Segments:
    """The files that follow one another in the place of one.

    Args:
        path: of the only file, if there are no segments.
        seconds: length of a segment; None for one file.
    """

    def __init__(self, path: Path, seconds: float | None) -> None:
        self._path, self._seconds = path, seconds
        self._end: float | None = None
        self._parts = 0

    def is_over(self, moment: float) -> bool:
        """Whether the frame of this time, in seconds of the source, belongs to another file than the one before."""
        return self._end is None or (self._seconds is not None and moment >= self._end)

    def begin(self, moment: float) -> Path:
        """The path of the file that begins with the frame of this time. Segments are named by the time of day (UTC).

        Raises:
            OSError: the folder cannot be made.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._parts += 1
        if self._seconds is None:
            self._end = float("inf")
            return self._path if self._parts == 1 else self._free(f"{self._path.stem}_part{self._parts}")
        self._end = moment + self._seconds
        return self._free(f"{self._path.stem}_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")

    def _free(self, stem: str) -> Path:
        """A name that no file has, because a segment of an earlier run must stay."""
        number = 1
        while (
            path := self._path.with_name(f"{stem}{'' if number == 1 else f'_{number}'}{self._path.suffix}")
        ).exists():
            number += 1
        return path

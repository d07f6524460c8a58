"""Prints and saves results."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sod_client._inputs.sources import is_url
from sod_client.result import Result

FORMATS = ("python", "json", "csv", "coco")
FILES = ("json", "img", "csv", "yolo")
DEFAULT_FILES = ("json", "img")


class Output:
    """Prints results in one of `FORMATS`, and saves `FILES` of each.

    Args:
        format_: python and json print one line per image, csv prints a header and one line per object, coco prints one
            JSON array.
        folder: the folder to save files in; None saves nothing.
        files: which of `FILES` to save.
    """

    def __init__(self, format_: str, folder: str | None, files: Sequence[str]) -> None:
        self._format = format_
        self._folder = folder
        self._files = files if folder is not None else ()
        self._printed = 0  # results, or for coco objects

    def needs_drawing(self, inputs: Sequence[str]) -> bool:
        """Whether the server must send the drawing: to save it, or for the size of an image that the server fetches."""
        return "img" in self._files or ("yolo" in self._files and any(map(is_url, inputs)))

    def save(self, result: Result) -> None:
        """Write the files of a result.

        Raises:
            SodError: the image, or its size, is not available.
            OSError: a file cannot be written.
        """
        if self._folder is not None:
            for file in self._files:
                _SAVERS[file](result, self._folder)

    def print(self, result: Result) -> None:
        """Print a result."""
        if self._format == "coco":
            self._print_coco(result)
        else:
            _PRINTERS[self._format](result, self._printed == 0)
            self._printed += 1
        sys.stdout.flush()

    def finish(self) -> None:
        """Print what follows the last result."""
        if self._format == "coco":
            print("\n]" if self._printed else "[]", flush=True)

    def _print_coco(self, result: Result) -> None:
        for entry in result.to_coco(_image_id(result)):
            print(",\n" if self._printed else "[\n", json.dumps(entry, ensure_ascii=False), sep="", end="")
            self._printed += 1


def files(text: str) -> tuple[str, ...]:
    """Parse names of `FILES` that are separated by commas.

    Raises:
        argparse.ArgumentTypeError: a name is unknown.
    """
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in FILES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(FILES)}")
    return names


def _python(result: Result, _first: bool) -> None:
    result.print()


def _json(result: Result, _first: bool) -> None:
    result.print(json_format=True, indent=None)


def _csv(result: Result, first: bool) -> None:
    print(result.to_csv(header=first), end="")


def _image_id(result: Result) -> int | str:
    """The file name without its suffix, as a number if it is one: COCO names its files by their id."""
    stem = Path(result.input_path or "").stem
    if result.page_index is not None:
        return f"{stem}_{result.page_index}"
    return int(stem) if stem.isascii() and stem.isdecimal() else stem


_PRINTERS: dict[str, Callable[[Result, bool], None]] = {
    "python": _python,
    "json": _json,
    "csv": _csv,
}
_SAVERS: dict[str, Callable[[Result, str], object]] = {
    "json": Result.save_to_json,
    "img": Result.save_to_img,
    "csv": Result.to_csv,
    "yolo": Result.to_yolo,
}

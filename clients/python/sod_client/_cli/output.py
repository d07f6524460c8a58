"""Prints and saves results."""

import argparse
import itertools
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sod_client._inputs.sources import is_url
from sod_client._results.files import to_json, visible
from sod_client.errors import NoImageError, SodWarning
from sod_client.result import Result

FORMATS = ("text", "python", "json", "csv", "coco")
FILES = ("json", "img", "csv", "yolo", "geojson", "gpkg")
DEFAULT_FILES = ("json", "img")
_FORMATS_OF_MAPS = (".tif", ".tiff", ".jp2", ".j2k")


class Output:
    """Prints results in one of `FORMATS`, and saves `FILES` of each.

    Args:
        format_: text, python and json print one line per image, csv prints a header and one line per object, coco
            prints one JSON array.
        folder: the folder to save files in; None saves nothing.
        files: which of `FILES` to save.
        first_category_id: category id of class 0 in the output of coco.
        adds_geojson: whether to save the GeoJSON of georeferenced scenes, too.
    """

    def __init__(
        self,
        format_: str,
        folder: str | None,
        files: Sequence[str],
        *,
        first_category_id: int = 0,
        adds_geojson: bool = False,
    ) -> None:
        self._adds_geojson = adds_geojson
        self.format = format_
        self._first_category_id = first_category_id
        self._folder = folder
        self._files = files if folder is not None else ()
        self._image_ids: dict[int | str, tuple[str | None, int | None]] = {}
        self._printed = 0  # results, or for coco objects

    def needs_drawing(self, inputs: Sequence[str]) -> bool:
        """Whether the server must send the drawing: to save it, or for the size of an image that the server fetches."""
        return "img" in self._files or ("yolo" in self._files and any(map(is_url, inputs)))

    def save(self, result: Result) -> Path | None:
        """Write the files of a result; returns the path of its image, or else of its JSON.

        Raises:
            SodError: the image, or its size, is not available.
            OSError: a file cannot be written.
        """
        paths = {}
        if self._folder is not None:
            for file in self._files:
                paths[file] = _SAVERS[file](result, self._folder)
            if self._adds_geojson and _may_have_place(result):
                if (reason := result._no_place) is None:
                    result.save_to_geojson(self._folder)
                else:
                    warnings.warn(f"{result.input_path}: no GeoJSON is written: {reason}", SodWarning, stacklevel=2)
            result._forget_journal()
        shown = paths.get("img", paths.get("json"))
        return shown if isinstance(shown, Path) else None

    def print(self, result: Result, saved: Path | None) -> None:
        """Print a result that was saved to this path."""
        if self.format == "coco":
            self._print_coco(result)
        elif self.format == "text":
            print(_text(result, saved))
        else:
            _PRINTERS[self.format](result, self._printed == 0)
            self._printed += 1
        sys.stdout.flush()

    def finish(self) -> None:
        """Print what follows the last result."""
        if self.format == "coco":
            print("\n]" if self._printed else "[]", flush=True)

    def _print_coco(self, result: Result) -> None:
        for entry in result.to_coco(self._image_id(result), first_category_id=self._first_category_id):
            print(",\n" if self._printed else "[\n", to_json(entry, indent=None, ensure_ascii=False), sep="", end="")
            self._printed += 1

    def _image_id(self, result: Result) -> int | str:
        """The file name without its suffix, as a number if it is one: COCO names its files by their id.

        If another image has this id already, `_2` is added, with a warning.
        """
        stem = Path(result.input_path or "").stem
        if result.page_index is not None:
            stem = f"{stem}_{result.page_index}"
        plain: int | str = int(stem) if stem.isascii() and stem.isdecimal() else stem
        own, image_id = (result.input_path, result.page_index), plain
        for number in itertools.count(2):
            owner = self._image_ids.setdefault(image_id, own)
            if owner == own:
                break
            image_id = f"{stem}_{number}"
        if image_id != plain:
            warnings.warn(
                f"{result.input_path}: its image_id is {image_id}, because {self._image_ids[plain][0]} has the same "
                "name",
                SodWarning,
                stacklevel=2,
            )
        return image_id


def files_or_folder(text: str) -> tuple[str, ...] | str:
    """Parse names of `FILES`; any other text is a folder, because `--save` abbreviates `--save_path` in PaddleX."""
    try:
        return files(text)
    except argparse.ArgumentTypeError:
        return text


def files(text: str) -> tuple[str, ...]:
    """Parse names of `FILES` that are separated by commas.

    Raises:
        argparse.ArgumentTypeError: a name is unknown.
    """
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in FILES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(FILES)}")
    return names


def _may_have_place(result: Result) -> bool:
    """Whether the image was read in windows, and its format is one of maps, or it has a place."""
    is_of_maps = Path(result.input_path or "").suffix.lower() in _FORMATS_OF_MAPS
    return result._is_scene and (is_of_maps or result._no_place is None)


def _text(result: Result, saved: Path | None) -> str:
    """One line for people: `street.jpg 1360x765: 44 cars, 1 bus, 97 ms → output/street_res.jpg`."""
    line = visible(result.input_path or "")
    if result.page_index is not None:
        line += f" (page {result.page_index})"
    with suppress(NoImageError):
        line += " {}\u00d7{}".format(*result.size)
    counts = Counter(box["label"] for box in result.boxes)
    found = [f"{count} {label if count == 1 else _plural(label)}" for label, count in counts.items()] or ["no objects"]
    if result._seconds is not None:
        found.append(f"{result._seconds * 1000:,.0f} ms")
    return f"{line}: {', '.join(found)}" + ("" if saved is None else f" → {visible(str(saved))}")


def _plural(label: str) -> str:
    if not label.isascii() or label == "people":
        return label
    return f"{label}es" if label.endswith(("s", "x", "ch", "sh")) else f"{label}s"


def _python(result: Result, _first: bool) -> None:
    result.print()


def _json(result: Result, _first: bool) -> None:
    result.print(json_format=True, indent=None)


def _csv(result: Result, first: bool) -> None:
    print(result.to_csv(header=first), end="")


_PRINTERS: dict[str, Callable[[Result, bool], None]] = {
    "python": _python,
    "json": _json,
    "csv": _csv,
}
_SAVERS: dict[str, Callable[[Result, str], object]] = {
    "json": Result.save_to_json,
    "img": lambda result, folder: result.save_to_img(folder),
    "csv": Result.to_csv,
    "yolo": Result.to_yolo,
    "geojson": lambda result, folder: result.save_to_geojson(folder),
    "gpkg": lambda result, folder: result.save_to_geopackage(folder),
}

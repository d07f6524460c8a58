"""Files of a data set: which ones belong to it, and their text."""

import re
from collections.abc import Iterable
from pathlib import Path

from sod.datasets.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
SPLIT_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
ALL = "all"
"""The split of a data set that is not divided."""


def belongs(path: Path, folder: Path) -> bool:
    """Whether a file below `folder` is the user's: macOS, Jupyter and editors leave files of their own among the data.

    Examples are `._a.jpg`, `.ipynb_checkpoints/` and `__MACOSX/`.
    """
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)


def list_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The data set's files with these suffixes (lower case) in a folder and those below it, sorted."""
    wanted = frozenset(suffixes)
    return sorted(f for f in folder.rglob("*") if f.suffix.lower() in wanted and belongs(f, folder) and f.is_file())


def words(name: str) -> list[str]:
    """The words of a file name in lower case: `instances_val2017` and `InstancesVal` → instances, val."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def split_of(name: str) -> str | None:
    """The split that a file or folder name states: train, val, test or None. `latest` states none."""
    return next((_SPLITS[word] for word in words(name) if word in _SPLITS), None)


def read_text(path: Path) -> str:
    """The text of a file; a byte order mark is skipped.

    Raises:
        DatasetError: the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DatasetError(f"{path}:{line} is not UTF-8 text: save the file as UTF-8") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})") from None

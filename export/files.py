"""Reading, hashing and replacing files."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from export.errors import ExportError

_T = TypeVar("_T")


def read_yaml(path: Path, parse: Callable[[Mapping[str, Any]], _T]) -> _T:
    """Read a YAML file that a user gives; every error text starts with the file's path.

    Args:
        path: the file.
        parse: makes the result from the file's mapping; may raise ExportError.

    Raises:
        ExportError: the file cannot be read, is not YAML, does not hold a mapping, or `parse` rejects it.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ExportError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, Mapping):
        raise ExportError(f"{path}: the file contains no settings")
    try:
        return parse(document)
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` at the end, so that readers never see half a file.

    If the block raises, `path` keeps its content and the temporary file is deleted.

    Raises:
        OSError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

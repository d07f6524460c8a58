"""Reading a YAML file that a user gives: every complaint names the file."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml

from export.errors import ExportError

_T = TypeVar("_T")


def read_yaml(path: Path, parse: Callable[[object], _T]) -> _T:
    """What `parse` makes of the file's content.

    Raises:
        ExportError: unreadable, not YAML, or what `parse` says of it.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ExportError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    try:
        return parse(document)
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from None

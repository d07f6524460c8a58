"""Whether there is a file or folder; pathlib raises an error for one behind a folder that may not be searched."""

import os
import stat
from pathlib import Path

from sod_client.errors import MissingFileError, UnreadableFileError


def exists(path: str | Path) -> bool:
    """Whether it is there, and may be looked at."""
    return os.path.exists(path)  # noqa: PTH110


def is_folder(path: str | Path) -> bool:
    """Whether it is a folder that may be looked at."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: str | Path) -> bool:
    """Whether it is a file that may be looked at."""
    return os.path.isfile(path)  # noqa: PTH113


def may_block(path: str | Path) -> bool:
    """Whether it is a pipe or the like, whose reading may never end."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_exists(path: str | Path) -> None:
    """Look at a file or folder.

    Raises:
        MissingFileError: there is none.
        UnreadableFileError: it may not be looked at.
    """
    try:
        os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError("no such file or folder") from error
    except ValueError as error:  # the name contains a NUL character
        raise MissingFileError(f"no such file or folder: {error}") from error
    except OSError as error:
        raise UnreadableFileError(f"cannot be read: {error.strerror or error}") from error

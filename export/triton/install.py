"""Installs finished files: either all of them, or none."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from export.errors import ExportError


def install_files(files: Mapping[str, Path], directory: Path) -> list[Path]:
    """Copy files to `directory`, and replace existing ones.

    All copies are written under temporary names and renamed at the end, so that a Triton which polls the folder never
    reads half a model.

    Args:
        files: new name → file.
        directory: created if it does not exist.

    Returns:
        The paths of the copies.

    Raises:
        ExportError: the directory cannot be written to; its files are unchanged.
    """
    staged: dict[Path, Path] = {}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, source in files.items():
            staged[directory / name] = directory / f".{name}.{os.getpid()}"
            shutil.copyfile(source, staged[directory / name])
        for target, copy in staged.items():
            copy.replace(target)
    except OSError as error:
        raise ExportError(f"{directory} cannot be written to: {error.strerror}") from error
    finally:
        for copy in staged.values():
            copy.unlink(missing_ok=True)
    return list(staged)

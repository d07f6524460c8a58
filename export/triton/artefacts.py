"""Puts finished files in place: each whole or not at all, none before all of them could be written."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from export.errors import ExportError


def put_in_place(files: Mapping[str, Path], directory: Path) -> list[Path]:
    """Copy each file to `directory` under its new name; a file that is there already is replaced.

    The copies are written beside their targets and renamed at the end, so a Triton that watches the folder never reads
    half a model.

    Raises:
        ExportError: the directory cannot be written to; what was there before is still there.
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

"""What is refused before `sod watch` begins, since nobody would see it while it runs."""

import argparse
import os
from contextlib import suppress
from pathlib import Path

from sod_client._inputs.paths import exists, is_folder
from sod_client._streams.outputs.files import VIDEOS, check, of_source
from sod_client._streams.sources.address import parse
from sod_client.errors import InvalidConfigError

TRACKING = ("match_iou", "expand", "lost_after")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Check what the options write, and that each has an effect.

    Raises:
        InvalidConfigError: a file cannot be written, is written twice or is a source, or an option has no effect.
    """
    _check_effects(arguments)
    files = _files(arguments)
    for path in files:
        _check_place(path)
    resolved = [path.resolve() for path in files]
    for path in files:
        if resolved.count(path.resolve()) > 1:
            raise InvalidConfigError(f"two options write to {path}: give each a file of its own")
        for address in map(parse, arguments.source):
            is_file = address.kind == "file" and exists(path) and exists(address.target)
            if is_file and path.samefile(address.target):
                raise InvalidConfigError(f"{path} is the source: write to another file")


def _check_effects(arguments: argparse.Namespace) -> None:
    has_video = arguments.show or any(Path(path).suffix.lower() in VIDEOS for path in arguments.save_path)
    tracks = arguments.track or arguments.line or arguments.zone or arguments.shapes
    has_files = arguments.save_path or arguments.events
    rules = [
        ("blur", bool(arguments.blur), has_video, "a video (--save_path) or --show"),
        ("segment", arguments.segment is not None, has_files, "--save_path or --events"),
        ("show_port", arguments.show_port != 0, arguments.show, "--show"),
        *((name, getattr(arguments, name) is not None, tracks, "--track, --line or --zone") for name in TRACKING),
    ]
    for name, is_given, has_effect, needed in rules:
        if is_given and not has_effect:
            raise InvalidConfigError(f"--{name} has an effect only with {needed}")


def _files(arguments: argparse.Namespace) -> list[Path]:
    """The files that are written; with segments the time is added to their names."""
    count = len(arguments.source)
    found = []
    for path in map(check, arguments.save_path):
        is_of_one = path.suffix.lower() in (*VIDEOS, ".txt")
        found += [of_source(path, number, count) for number in range(count)] if is_of_one else [path]
    return found + ([Path(arguments.events)] if arguments.events is not None else [])


def _check_place(path: Path) -> None:
    """Refuse a file that cannot be written now, rather than at the first event, hours later."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.stat()
    except OSError as error:
        raise InvalidConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    except ValueError as error:  # the name contains a NUL character
        raise InvalidConfigError(f"{str(path)!r} cannot be written: {error}") from error
    if is_folder(path):
        raise InvalidConfigError(f"{path} cannot be written: it is a folder")
    if not os.access(path if exists(path) else path.parent, os.W_OK):
        raise InvalidConfigError(f"{path} cannot be written: it, or its folder, is read-only")

"""Unpacks a downloaded model: a plain tar of which nothing is believed before it was looked at."""

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from export.errors import ExportError

PROGRAMS = ("inference.json", "inference.pdmodel")
COMPANIONS = ("inference.pdiparams", "inference.yml")


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold.

    Attributes:
        total_bytes: of all files, unpacked.
        members: files and directories.
    """

    total_bytes: int = 2 << 30
    members: int = 100


DEFAULT_ARCHIVE_LIMITS = ArchiveLimits()


def unpack(archive: Path, directory: Path, label: str, limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS) -> Path:
    """Unpack a tar of a Paddle inference model, as PaddleX publishes them.

    Nothing is written unless every member is a file or a directory below the archive's root.

    Args:
        archive: an uncompressed tar.
        directory: to unpack into; made, and there is none of that name yet.
        label: what messages call the archive.
        limits: what passes.

    Returns:
        The directory in it that holds inference.json or .pdmodel, inference.pdiparams and inference.yml.

    Raises:
        ExportError: it is no such archive, is cut off, or would write elsewhere; or the disk is full. What was written
            until then is the caller's to remove.
    """
    _require_no_page(archive, label)
    try:
        # "r:": no compression, so nothing can unpack to more than was downloaded, sparse files apart.
        with tarfile.open(archive, "r:") as tar:
            members = _checked(tar, label, limits)
            directory.mkdir()
            tar.extractall(directory, members, filter="data")
    except tarfile.FilterError as error:
        raise ExportError(f"{label} is not safe to unpack: {error}") from error
    except tarfile.ReadError as error:
        raise ExportError(f"{label} is damaged or not a tar archive ({error})") from error
    except OSError as error:
        raise ExportError(f"{label} cannot be unpacked: {error.strerror}") from error
    # tarfile lets through whatever its header parsing stumbles over.
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ExportError(f"{label} is damaged or not a tar archive ({error})") from error
    return _model_dir(directory, label)


def _require_no_page(archive: Path, label: str) -> None:
    """Say it clearly where a proxy or a login page answered in the server's place."""
    try:
        with archive.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ExportError(f"{label} cannot be read: {error.strerror}") from error
    if not start:
        raise ExportError(f"{label} is empty")
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise ExportError(f"{label} is not a tar archive but a web page, perhaps of a proxy or a login")


def _checked(tar: tarfile.TarFile, label: str, limits: ArchiveLimits) -> list[tarfile.TarInfo]:
    """All members, of which each may be unpacked."""
    members: list[tarfile.TarInfo] = []
    seen: set[PurePosixPath] = set()
    total = 0
    # One by one: the limits hold before the whole list is in memory.
    for member in tar:
        path = PurePosixPath(member.name)
        if problem := _problem(member, path, seen):
            raise ExportError(f"{label} is not safe to unpack: {member.name!r} {problem}")
        total += member.size
        if total > limits.total_bytes:
            raise ExportError(f"{label} is not safe to unpack: it holds more than {limits.total_bytes >> 20} MiB")
        if len(members) == limits.members:
            raise ExportError(f"{label} is not safe to unpack: it holds more than {limits.members} members")
        seen.add(path)
        members.append(member)
    return members


def _problem(member: tarfile.TarInfo, path: PurePosixPath, seen: set[PurePosixPath]) -> str | None:
    """Why this member must not be unpacked."""
    problems = {
        "is neither a plain file nor a directory": not (member.isdir() or member.isreg()) or member.issparse(),
        "is an absolute path": path.is_absolute(),
        "leads out of the archive": ".." in path.parts,
        "is not a readable name": not member.name.isprintable(),  # control characters, or not text at all
        "has a negative size": member.size < 0,  # it sends the reader back to what it has read
        "is there twice": path in seen,
    }
    return next((text for text, found in problems.items() if found), None)


def _model_dir(directory: Path, label: str) -> Path:
    """The one directory with a whole model."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    missing = [name for name in COMPANIONS if not any(path.name == name for path in files)]
    if not any(path.name in PROGRAMS for path in files):
        missing.insert(0, " or ".join(PROGRAMS))
    if missing:
        raise ExportError(f"{label} holds no {', no '.join(missing)}: not a Paddle inference model")
    found = [
        parent
        for parent in sorted({path.parent for path in files})
        if all((parent / name).is_file() for name in COMPANIONS) and any((parent / p).is_file() for p in PROGRAMS)
    ]
    if len(found) != 1:
        raise ExportError(f"{label} holds {len(found) or 'parts of several'} Paddle inference models, not one")
    return found[0]

"""Unpacks a downloaded tar of a Paddle model, after every member has been checked."""

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from export.errors import ExportError

PROGRAMS = ("inference.json", "inference.pdmodel")
COMPANIONS = ("inference.pdiparams", "inference.yml")


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """The largest archive that is unpacked.

    Attributes:
        total_bytes: size of all files, unpacked.
        members: number of files and directories.
    """

    total_bytes: int = 2 << 30
    members: int = 100


DEFAULT_ARCHIVE_LIMITS = ArchiveLimits()


def unpack(archive: Path, directory: Path, label: str, limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS) -> Path:
    """Unpack a tar of a Paddle inference model, as PaddleX publishes them.

    Nothing is written unless every member is a file or a directory below the archive's root.

    Args:
        archive: an uncompressed tar.
        directory: created and unpacked into; must not exist.
        label: the archive's name in messages.
        limits: a larger archive is rejected.

    Returns:
        The directory in it that contains inference.json or .pdmodel, inference.pdiparams and inference.yml.

    Raises:
        ExportError: the archive is truncated, contains no model, or would write elsewhere; or the disk is full. The
            caller must remove the files written until then.
    """
    _reject_web_page(archive, label)
    try:
        # "r:" allows no compression, so that only a sparse file could unpack to more than was downloaded.
        with tarfile.open(archive, "r:") as tar:
            members = _checked_members(tar, label, limits)
            directory.mkdir()
            tar.extractall(directory, members, filter="data")
    except tarfile.FilterError as error:
        raise ExportError(f"{label} is not safe to unpack: {error}") from error
    except tarfile.ReadError as error:
        raise ExportError(f"{label} is damaged or not a tar archive ({error})") from error
    except OSError as error:
        raise ExportError(f"{label} cannot be unpacked: {error.strerror}") from error
    # tarfile does not wrap the exceptions of its header parsing.
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ExportError(f"{label} is damaged or not a tar archive ({error})") from error
    return _model_dir(directory, label)


def _reject_web_page(archive: Path, label: str) -> None:
    """Raise a clear error if a proxy or a login page responded in place of the server."""
    try:
        with archive.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ExportError(f"{label} cannot be read: {error.strerror}") from error
    if not start:
        raise ExportError(f"{label} is empty")
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise ExportError(f"{label} is not a tar archive but a web page, perhaps of a proxy or a login")


def _checked_members(tar: tarfile.TarFile, label: str, limits: ArchiveLimits) -> list[tarfile.TarInfo]:
    """All members, if every one of them is safe to unpack."""
    members: list[tarfile.TarInfo] = []
    seen: set[PurePosixPath] = set()
    total = 0
    # One by one, so that the limits apply before the whole list is in memory.
    for member in tar:
        path = PurePosixPath(member.name)
        if problem := _problem(member, path, seen):
            raise ExportError(f"{label} is not safe to unpack: {member.name!r} {problem}")
        total += member.size
        if total > limits.total_bytes:
            raise ExportError(f"{label} is not safe to unpack: it contains more than {limits.total_bytes >> 20} MiB")
        if len(members) == limits.members:
            raise ExportError(f"{label} is not safe to unpack: it contains more than {limits.members} members")
        seen.add(path)
        members.append(member)
    return members


def _problem(member: tarfile.TarInfo, path: PurePosixPath, seen: set[PurePosixPath]) -> str | None:
    """Why this member must not be unpacked; None if it is safe."""
    problems = {
        "is neither a plain file nor a directory": not (member.isdir() or member.isreg()) or member.issparse(),
        "is an absolute path": path.is_absolute(),
        "points outside the archive": ".." in path.parts,
        "is not a printable name": not member.name.isprintable(),  # control characters, or bytes that are not text
        "has a negative size": member.size < 0,  # the reader would go back to what it has read
        "occurs twice": path in seen,
    }
    return next((text for text, found in problems.items() if found), None)


def _model_dir(directory: Path, label: str) -> Path:
    """The only directory with a complete model."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    missing = [name for name in COMPANIONS if not any(path.name == name for path in files)]
    if not any(path.name in PROGRAMS for path in files):
        missing.insert(0, " or ".join(PROGRAMS))
    if missing:
        raise ExportError(f"{label} contains no {', no '.join(missing)}: not a Paddle inference model")
    found = [
        parent
        for parent in sorted({path.parent for path in files})
        if all((parent / name).is_file() for name in COMPANIONS) and any((parent / p).is_file() for p in PROGRAMS)
    ]
    if len(found) != 1:
        raise ExportError(f"{label} contains {len(found) or 'parts of several'} Paddle inference models, not one")
    return found[0]

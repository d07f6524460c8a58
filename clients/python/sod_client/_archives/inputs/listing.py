"""Lists the files of folders and object stores one by one, in no order, without holding their names."""

import glob
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sod_client._archives.inputs import stores
from sod_client._archives.inputs.source import FetchError, Source, Stamp
from sod_client._inputs import paths
from sod_client._inputs.items import read_file
from sod_client._inputs.sources import IMAGE_SUFFIXES
from sod_client.errors import InvalidInputError, MissingFileError, SodError, UnreadableFileError, add_location

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_NOT_SEARCHED = ("__MACOSX", ".ipynb_checkpoints", "_sod")
_WILD = re.compile(r"[*?\[]")


def is_image(path: str) -> bool:
    """Whether the name is that of an image or PDF."""
    name = path.rsplit("/", 1)[-1]
    return not name.startswith("._") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def is_shard(path: str) -> bool:
    """Whether the name is that of a tar or zip."""
    return path.lower().endswith(SHARD_SUFFIXES)


def is_pattern(path: str) -> bool:
    """Whether the text is a pattern; a local file of this very name, and a URL's query, are none."""
    if stores.is_web(path):
        return False
    return _WILD.search(path) is not None and (stores.protocol_of(path) is not None or not paths.exists(path))


def local_file(path: str) -> Source:
    """A local file."""

    def stamp() -> Stamp:
        try:
            status = Path(path).stat()
        except FileNotFoundError as error:
            raise MissingFileError("no such file or folder") from error
        except (OSError, ValueError) as error:
            raise UnreadableFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
        return Stamp(status.st_size, str(status.st_mtime_ns))

    return Source(path, stamp, lambda: read_file(Path(path)), local=path)


def remote_file(path: str, known: Stamp | None = None) -> Source:
    """An object or a URL, with the stamp that a listing gave."""
    return Source(path, (lambda: stores.stamp(path)) if known is None else (lambda: known), lambda: stores.read(path))


def files_in(path: str, on_error: Callable[[SodError], None]) -> Iterator[Source]:
    """The images, PDFs and shards in a folder and its subfolders, or that match a pattern, or the one file.

    Args:
        path: a local path, a pattern or a URL.
        on_error: receives the error of a subfolder that cannot be read.

    Raises:
        SodError: there is nothing, or it may not be listed.
    """
    if stores.is_web(path):
        yield remote_file(path)
    elif stores.protocol_of(path) is None:
        yield from _local(path, on_error)
    else:
        yield from _remote(path)


def _local(path: str, on_error: Callable[[SodError], None]) -> Iterator[Source]:
    if is_pattern(path):
        yield from (local_file(name) for name in glob.iglob(path, recursive=True) if paths.is_file(name))  # noqa: PTH207
        return
    if paths.is_folder(path):
        yield from map(local_file, _walk(path, set(), on_error))
        return
    paths.check_exists(path)
    yield local_file(path)


def _walk(folder: str, seen: set[tuple[int, int]], on_error: Callable[[SodError], None]) -> Iterator[str]:
    """The files below a folder, each folder once, also if links lead to it."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - keeps the caller's "./"
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    if entry.name not in _NOT_SEARCHED:
                        yield from _walk(entry.path, seen, on_error)
                elif (is_image(entry.name) or is_shard(entry.name)) and (entry.is_file() or entry.is_symlink()):
                    yield entry.path
    except OSError as error:
        on_error(add_location(UnreadableFileError(f"this folder cannot be read: {error.strerror}"), folder))


def _remote(path: str) -> Iterator[Source]:
    protocol = stores.protocol_of(path) or ""
    system = stores.file_system(protocol)
    match = _WILD.search(path)
    if match is None and (is_image(path) or is_shard(path)) and not path.endswith("/"):
        yield remote_file(path)
        return
    folder = path if match is None else path[: match.start()].rsplit("/", 1)[0]
    wanted = None if match is None else re.compile(_translated(path))
    try:
        for info in _entries(system, folder.rstrip("/")):
            name = f"{protocol}://{system._strip_protocol(info['name'])}"
            if (is_image(name) or is_shard(name)) if wanted is None else wanted.match(name):
                yield remote_file(name, stores.stamp_of(info))
    except SodError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError("there is no such bucket or folder") from error
    except Exception as error:  # the exceptions of fsspec's file systems have no common class
        if stores.is_refused(error):
            raise FetchError("may not be listed: the object store refuses access with these credentials") from error
        raise FetchError(f"cannot be listed: {stores.short(error)}") from error


def _translated(pattern: str) -> str:
    from fsspec.utils import glob_translate  # noqa: PLC0415 - fsspec is optional

    translated: str = glob_translate(pattern)
    return translated


def _entries(system: Any, folder: str) -> Iterator[dict[str, Any]]:
    """The entries of all files below a folder; page by page where the store lists in pages."""
    if hasattr(system, "_iterdir") and hasattr(system, "split_path"):  # s3fs
        from fsspec.asyn import sync  # noqa: PLC0415 - fsspec is optional

        bucket, key, _ = system.split_path(folder)
        prefix = f"{key}/" if key else ""
        pages = system._iterdir(bucket, delimiter="", prefix=prefix)
        end = object()

        async def following() -> Any:
            return await anext(pages, end)

        while (entry := sync(system.loop, following)) is not end:
            if not entry["name"].endswith("/"):
                yield entry
        return
    if not system.exists(folder):
        raise MissingFileError("there is no such bucket or folder")
    for _, _, files in system.walk(folder, detail=True):
        yield from files.values()


def check_any(found: bool, path: str) -> None:
    """Check that an input gave files.

    Raises:
        InvalidInputError: it gave none.
    """
    if not found:
        what = "no file matches this pattern" if is_pattern(path) else "there is no image, PDF or shard in it"
        raise InvalidInputError(what)

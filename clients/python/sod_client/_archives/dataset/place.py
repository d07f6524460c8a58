"""Where a dataset is: a local folder, or a prefix in an object store. Every file appears whole or not at all."""

import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sod_client._archives.inputs import stores
from sod_client.errors import InvalidConfigError, SodError

TEMPORARY = "_sod/tmp"


class OutputError(SodError):
    """The dataset cannot be read or written; what is there stays valid."""


def place_of(output: str) -> "Place":
    """The place of a path or URL.

    Raises:
        SodError: it is neither a folder nor a prefix of an object store.
    """
    if stores.is_web(output):
        raise InvalidConfigError(
            f"{output} cannot be written: OUTPUT is a folder or an address such as s3://BUCKET/PREFIX"
        )
    if stores.protocol_of(output) is None:
        return LocalPlace(Path(stores.local_path(output)))
    return StorePlace(output.rstrip("/"))


class Place:
    """Files by names such as `_sod/run.json`, relative to the place."""

    name: str

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted; empty if there is none."""
        raise NotImplementedError

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        raise NotImplementedError

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        with self.new_file(name) as temporary:
            temporary.write_bytes(content)

    def new_file(self, name: str) -> AbstractContextManager[Path]:
        """The local path of a new file that is put in its place at the end; nothing is, if there is an error."""
        raise NotImplementedError

    def open(self, name: str) -> Any:
        """A file, open for reading."""
        raise NotImplementedError

    def move(self, name: str, to: str) -> None:
        """Move a file, over one that is there; no error if it was moved before."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        raise NotImplementedError


@contextmanager
def sentences(name: str, action: str) -> Iterator[None]:
    """Errors of the storage as sentences.

    Raises:
        OutputError: there was one.
    """
    try:
        yield
    except SodError:
        raise
    except OSError as error:
        raise OutputError(f"{name} cannot be {action}: {error.strerror or stores.short(error)}") from error
    except Exception as error:  # the exceptions of fsspec's file systems have no common class
        raise OutputError(f"{name} cannot be {action}: {stores.short(error)}") from error


class LocalPlace(Place):
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self.folder = folder

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder."""
        with sentences(self.name, "read"):
            try:
                return sorted(entry.name for entry in (self.folder / folder).iterdir() if entry.is_file())
            except FileNotFoundError:
                return []

    def read(self, name: str) -> bytes | None:
        """The content of a file."""
        with sentences(self.name, "read"):
            try:
                return (self.folder / name).read_bytes()
            except FileNotFoundError:
                return None

    @contextmanager
    def new_file(self, name: str) -> Iterator[Path]:
        """A new file: temporary name, fsync, rename."""
        with sentences(self.name, "written"):
            folder = self.folder / TEMPORARY
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / uuid.uuid4().hex
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield temporary
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(target)
                _sync_folder(target.parent)
            finally:
                temporary.unlink(missing_ok=True)

    def open(self, name: str) -> Any:
        """A file."""
        return (self.folder / name).open("rb")

    def move(self, name: str, to: str) -> None:
        """Rename a file."""
        with sentences(self.name, "written"):
            source = self.folder / name
            if source.exists():
                source.replace(self.folder / to)
                _sync_folder((self.folder / to).parent)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with sentences(self.name, "written"):
            (self.folder / name).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what a run that was killed left under temporary names."""
        shutil.rmtree(self.folder / TEMPORARY, ignore_errors=True)


class StorePlace(Place):
    """A prefix in an object store, where one PUT, or one multipart upload, makes a file appear whole."""

    def __init__(self, url: str) -> None:
        self.name = url
        self.system = stores.file_system(stores.protocol_of(url) or "")

    def path(self, name: str) -> str:
        """The address of a file."""
        return f"{self.name}/{name}" if name else self.name

    def names(self, folder: str) -> list[str]:
        """The names of the objects directly below a prefix."""
        with sentences(self.name, "read"):
            try:
                entries = self.system.ls(self.path(folder), detail=True)
            except FileNotFoundError:
                return []
            return sorted(entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file")

    def read(self, name: str) -> bytes | None:
        """The content of an object."""
        with sentences(self.name, "read"):
            try:
                content: bytes = self.system.cat_file(self.path(name))
            except FileNotFoundError:
                return None
            return content

    @contextmanager
    def new_file(self, name: str) -> Iterator[Path]:
        """A new object, which is written here first."""
        with sentences(self.name, "written"), tempfile.TemporaryDirectory(prefix="sod-batch-") as folder:
            temporary = Path(folder) / "file"
            yield temporary
            self.system.put_file(str(temporary), self.path(name))

    def open(self, name: str) -> Any:
        """An object; small ones are read whole, for one request."""
        path = self.path(name)
        if self.system.info(path)["size"] <= 2**23:
            return io.BytesIO(self.system.cat_file(path))
        return self.system.open(path, "rb", cache_type="readahead")

    def move(self, name: str, to: str) -> None:
        """Copy an object in the store, and remove it."""
        with sentences(self.name, "written"):
            if self.system.exists(self.path(name)):
                self.system.cp_file(self.path(name), self.path(to))
                self.system.rm_file(self.path(name))

    def remove(self, name: str) -> None:
        """Remove an object."""
        with sentences(self.name, "written"):
            try:
                self.system.rm_file(self.path(name))
            except FileNotFoundError:
                return

    def clean(self) -> None:
        """Nothing: an upload that was not finished leaves no object."""


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

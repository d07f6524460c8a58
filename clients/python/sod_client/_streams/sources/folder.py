"""A folder that fills with images: those that are there, by name, and then each that is added."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sod_client._inputs.items import FileItem
from sod_client._inputs.sources import IMAGE_SUFFIXES
from sod_client._streams.sources.address import Address
from sod_client._streams.sources.frame import Frame
from sod_client._streams.sources.inotify import FolderNotices
from sod_client._streams.sources.selection import Selection
from sod_client.errors import MissingFileError, UnreadableFileError

_SUFFIXES = IMAGE_SUFFIXES - {".pdf"}
_WAIT_S = 0.2
# A network drive gives no notice of what another machine writes: its files count when they did not change for so long.
_LOOK_S = 5.0
_State = tuple[float, int]  # of a file: time of its last change in ns, and size


class FolderReader:
    """Reads the images of one folder, without its subfolders, until `stop`.

    Args:
        address: the folder.
        number: position of the source in the call, from 0.
        selection: which images are used.
        once: whether to end after the images that are there.
    """

    is_live = False  # every image counts

    def __init__(self, address: Address, number: int, selection: Selection, *, once: bool) -> None:
        self._address, self._number, self._selection, self._once = address, number, selection, once
        self._folder = Path(address.target)
        self._read: dict[str, _State] = {}
        self._seen: dict[str, _State] = {}

    def read(self, stop: threading.Event) -> Iterator[Frame]:
        """The images that are used.

        Raises:
            SodError: the folder cannot be read.
        """
        yield from self._selection.of(self._frames(stop))

    def _frames(self, stop: threading.Event) -> Iterator[Frame]:
        started = time.monotonic()
        for index, path in enumerate(self._paths(stop)):
            item = FileItem(str(path), index=self._number, path=path)
            yield Frame(item, index, time.monotonic() - started, time.time())

    def _paths(self, stop: threading.Event) -> Iterator[Path]:
        try:
            notices = None if self._once else FolderNotices(self._folder)
        except OSError:
            notices = None
        try:
            yield from self._added(self._names(), is_closed=True)
            looked = time.monotonic()
            while not (stop.is_set() or self._once):
                names, lost = ([], False) if notices is None else notices.wait(_WAIT_S)
                if notices is None:
                    stop.wait(_WAIT_S)
                yield from self._added(sorted(set(names)), is_closed=True)
                if lost or time.monotonic() - looked > _LOOK_S:
                    looked = time.monotonic()
                    yield from self._added(self._names(), is_closed=lost)
        except FileNotFoundError as error:
            raise MissingFileError("the folder was removed") from error
        except OSError as error:
            raise UnreadableFileError(f"the folder cannot be read: {error.strerror or error}") from error
        finally:
            if notices is not None:
                notices.close()

    def _added(self, names: list[str], *, is_closed: bool) -> Iterator[Path]:
        """The images among these names that were not read in this state yet.

        Without a notice, a file counts as closed if it was in the same state when it was looked at before.
        """
        for name in names:
            path = self._folder / name
            if path.suffix.lower() not in _SUFFIXES or name.startswith("."):
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # removed meanwhile
            state = (status.st_mtime_ns, status.st_size)
            is_finished = is_closed or self._seen.get(name) == state
            self._seen[name] = state
            if is_finished and self._read.get(name) != state and status.st_size:
                self._read[name] = state
                yield path

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir())

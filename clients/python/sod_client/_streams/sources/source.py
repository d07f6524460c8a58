"""A source that is read in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from sod_client._streams.sources.address import parse
from sod_client._streams.sources.folder import FolderReader
from sod_client._streams.sources.frame import Frame
from sod_client._streams.sources.handover import Handover
from sod_client._streams.sources.selection import Selection
from sod_client._streams.sources.video import Report, VideoReader
from sod_client.errors import SodError, add_location


class _Reader(Protocol):
    is_live: bool

    def read(self, stop: threading.Event) -> Iterator[Frame]: ...


class Source:
    """The frames of one source, in order: all of a file, and of a live source the newest.

    Args:
        text: a path, URL, number of a camera, or folder.
        number: position in the call, from 0.
        selection: which frames are used.
        once: whether a live stream that ends is not connected again.
        stall_s: seconds without data after which a stream is connected again.
        report: receives a sentence about an interruption.
        wake: called whenever there is a frame to take, or the source has ended.

    Raises:
        SodError: it cannot be opened; the text names it.
    """

    def __init__(  # noqa: PLR0913 - what a stream has
        self,
        text: str,
        number: int,
        selection: Selection,
        *,
        once: bool,
        stall_s: float,
        report: Report,
        wake: Callable[[], object],
    ) -> None:
        address = parse(text)
        self.name = address.name
        try:
            self._reader: _Reader = (
                FolderReader(address, number, selection, once=once)
                if address.kind == "folder"
                else VideoReader(address, number, selection, once=once, stall_s=stall_s, report=report)
            )
        except SodError as error:
            raise add_location(error, address.name) from error
        self.is_live = self._reader.is_live
        self._handover = Handover(newest_wins=self.is_live, wake=wake)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{number}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """The frames of a live source that were dropped because a newer one came before they could be sent."""
        return self._handover.dropped

    @property
    def has_frame(self) -> bool:
        """Whether `take` has something."""
        return not self._handover.is_empty

    @property
    def is_ended(self) -> bool:
        """Whether no more frames come."""
        return self._handover.is_ended

    def take(self) -> Frame | None:
        """The next frame; None if there is none at the moment.

        Raises:
            SodError: the source cannot be read on; the text names it.
        """
        try:
            return self._handover.take()
        except SodError as error:
            raise add_location(error, self.name) from error

    def close(self) -> None:
        """End the reading; a read that waits for the network ends by itself."""
        self._stop.set()
        self._handover.close()

    def _run(self) -> None:
        try:
            for frame in self._reader.read(self._stop):
                if not self._handover.put(frame):
                    return
        except BaseException as error:
            self._handover.finish(error)
        else:
            self._handover.finish()

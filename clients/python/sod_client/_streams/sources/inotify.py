"""Linux's notice that a file in a folder was closed by its writer, or moved there."""

import ctypes
import os
import select
import struct
import sys
from pathlib import Path

_CLOSE_WRITE, _MOVED_TO, _DELETE_SELF, _MOVE_SELF = 0x8, 0x80, 0x400, 0x800
_OVERFLOW = 0x4000
_HEADER = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name
_BUFFER = 65_536


class FolderNotices:
    """Names of files that were closed after writing, or moved into the folder.

    Raises:
        OSError: the system has no inotify, or the folder cannot be observed.
    """

    def __init__(self, folder: Path) -> None:
        if sys.platform != "linux":
            raise OSError("this system has no inotify")
        libc = ctypes.CDLL(None, use_errno=True)
        self._file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        mask = _CLOSE_WRITE | _MOVED_TO | _DELETE_SELF | _MOVE_SELF
        if libc.inotify_add_watch(self._file, os.fsencode(folder), mask) < 0:
            number = ctypes.get_errno()
            os.close(self._file)
            raise OSError(number, os.strerror(number))

    def wait(self, seconds: float) -> tuple[list[str], bool]:
        """The names since the last call, waiting for one so long; and whether notices were lost, so that one looks.

        Raises:
            FileNotFoundError: the folder was removed or moved away.
        """
        if not select.select([self._file], [], [], seconds)[0]:
            return [], False
        content = os.read(self._file, _BUFFER)
        names, lost, offset = [], False, 0
        while offset < len(content):
            _, mask, _, length = _HEADER.unpack_from(content, offset)
            offset += _HEADER.size
            name = content[offset : offset + length].split(b"\0", 1)[0]
            offset += length
            if mask & (_DELETE_SELF | _MOVE_SELF):
                raise FileNotFoundError("the folder was removed")
            lost = lost or bool(mask & _OVERFLOW)
            if name:
                names.append(os.fsdecode(name))
        return names, lost

    def close(self) -> None:
        """End the notices."""
        os.close(self._file)

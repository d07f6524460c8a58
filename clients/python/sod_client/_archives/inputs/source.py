"""One file of an archive: a name, what tells whether it changed, and its content when it is asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from sod_client.errors import SodError


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file changed since it was read.

    Attributes:
        size: bytes; None if the host does not say.
        version: the time of the last change in nanoseconds, an ETag, or the checksum of a zip's member; None if there
            is none.
    """

    size: int | None
    version: str | None


class FetchError(SodError):
    """The file's host did not hand it out, after all attempts."""


@dataclass(frozen=True)
class Source:
    """A file of an archive.

    Attributes:
        path: its path or URL, by which it is known in the dataset; `shard.tar/street.jpg` for a member of a shard.
        stamp: returns its stamp; raises a SodError if there is no such file.
        read: returns its content; raises a SodError if it cannot be read.
        local: its path if it is a local file, which large images are read from in windows.
        is_member: whether it is in a shard, so that its path alone does not lead to its content.
        is_end: whether it stands for the end of a shard that was read whole, and has no image.
    """

    path: str
    stamp: Callable[[], Stamp]
    read: Callable[[], bytes]
    local: str | None = None
    is_member: bool = False
    is_end: bool = False

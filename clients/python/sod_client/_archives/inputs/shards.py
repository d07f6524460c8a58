"""The images in tar and zip files, WebDataset's shards among them.

A tar is read once from its beginning to its end, so its members are read where they are listed. The members' names are
`shard.tar/folder/street.jpg`.
"""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sod_client._archives.inputs import stores
from sod_client._archives.inputs.listing import is_image
from sod_client._archives.inputs.source import FetchError, Source, Stamp
from sod_client.errors import MissingFileError, SodError, UnreadableFileError

MAX_MEMBER_BYTES = 2**30
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError)


def images_in(shard: Source) -> Iterator[Source]:
    """The images in a shard.

    Raises:
        SodError: the shard cannot be read, or is damaged behind the images before.
    """
    try:
        if shard.path.lower().endswith(".zip"):
            yield from _in_zip(shard)
        else:
            yield from _in_tar(shard)
    except SodError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError("no such file or folder") from error
    except _DAMAGED as error:
        raise UnreadableFileError(f"the shard is damaged: {stores.short(error)}") from error
    except OSError as error:
        raise UnreadableFileError(f"the shard cannot be read: {error.strerror or stores.short(error)}") from error
    except Exception as error:  # the exceptions of fsspec's file systems have no common class
        raise FetchError(f"the shard cannot be fetched: {stores.short(error)}") from error


def _in_tar(shard: Source) -> Iterator[Source]:
    stamp = shard.stamp()
    with _opened(shard) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            if not member.isfile() or not is_image(member.name):
                continue
            if member.size > MAX_MEMBER_BYTES:
                raise UnreadableFileError(f"{member.name} in it is larger than {MAX_MEMBER_BYTES:,} bytes: unpack it")
            extracted = archive.extractfile(member)
            content = b"" if extracted is None else extracted.read()
            # The members of a shard often have no time, so the shard's own stamp tells that one changed.
            yield _member(shard, member.name, content, Stamp(member.size, f"{stamp.version}/{stamp.size}"))
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them all


def _in_zip(shard: Source) -> Iterator[Source]:
    with _opened(shard, seekable=True) as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.is_dir() or not is_image(member.filename):
                continue
            if member.file_size > MAX_MEMBER_BYTES:
                raise UnreadableFileError(
                    f"{member.filename} in it is larger than {MAX_MEMBER_BYTES:,} bytes: unpack it"
                )
            stamp = Stamp(member.file_size, f"crc32 {member.CRC:08x}")
            yield _member(shard, member.filename, archive.read(member), stamp)


def _member(shard: Source, name: str, content: bytes, stamp: Stamp) -> Source:
    def read() -> bytes:
        if not content:
            raise UnreadableFileError("the file is empty")
        return content

    return Source(f"{shard.path}/{name}", lambda: stamp, read, is_member=True)


@contextmanager
def _opened(shard: Source, *, seekable: bool = False) -> Iterator[Any]:
    """The shard's content as a file; a tar at a URL is not stored, a zip at a URL is held in memory."""
    if shard.local is not None:
        with open(shard.local, "rb") as file:  # noqa: PTH123
            yield file
    elif not stores.is_web(shard.path):
        system = stores.file_system(stores.protocol_of(shard.path) or "")
        with system.open(shard.path, "rb", cache_type="readahead") as file:
            yield file
    elif seekable:
        yield io.BytesIO(shard.read())
    else:
        yield _Stream(stores.web_chunks(shard.path))


class _Stream(io.RawIOBase):
    """The parts of a response as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fewer than `size` only at the end."""
        parts, length = [self._rest], len(self._rest)
        while size < 0 or length < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            length += len(chunk)
        joined = b"".join(parts)
        wanted = len(joined) if size < 0 else size
        self._rest = joined[wanted:]
        return joined[:wanted]

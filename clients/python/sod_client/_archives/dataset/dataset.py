"""The files of a dataset: small parts while a run works, and sorted files of sane size at its end.

    images-00000.parquet …            the sorted files
    _sod/run.json                     what the rows depend on: model, thresholds, …
    _sod/parts/00000007-0.parquet …   rows since the last compaction; the number and the level
    _sod/next/                        sorted files that are being written; commit.json says that they are complete
    _sod/lock                         held by the one process that writes

Of two parts the one with the higher number is newer. A part is merged with others of its level into one of the next
level, so that their number stays small. A process that is killed between two steps leaves rows twice at most, of which
the next run keeps the newest.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sod_client._archives import packages
from sod_client._archives.dataset import schema
from sod_client._archives.dataset.index import Index
from sod_client._archives.dataset.merge import merged
from sod_client._archives.dataset.place import LocalPlace, OutputError, Place, sentences
from sod_client._archives.dataset.schema import Constants, Row

FAN_IN = 16  # each open file takes about a MiB
FILE_ROWS = 262_144
FILE_OBJECTS = 4_000_000
RUN = "_sod/run.json"
_PARTS, _NEXT, _COMMIT = "_sod/parts", "_sod/next", "_sod/next/commit.json"
_PART = re.compile(r"^(\d{8})-(\d+)\.parquet$")
_FINAL = re.compile(r"^images-\d{5}\.parquet$")
_INDEXED = ("path", "size", "version", "sha256", "status")


class Dataset:
    """The files at a place. One process writes them, which holds the `Lock`."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def run(self) -> dict[str, Any] | None:
        """What the rows depend on; None if the dataset is new.

        Raises:
            OutputError: the file is not one of `sod batch`.
        """
        content = self.place.read(RUN)
        if content is None:
            if names := self._final_names():
                raise OutputError(
                    f"{self.place.name} has {names[0]}, which is not of `sod batch`, as {RUN} is missing: choose "
                    "another OUTPUT"
                )
            return None
        try:
            described: dict[str, Any] = dict(json.loads(content))
        except (ValueError, TypeError) as error:
            raise OutputError(f"{self.place.name}/{RUN} is damaged: --restart begins anew") from error
        return described

    def begin(self, described: dict[str, Any]) -> None:
        """Write what the rows of a new dataset depend on."""
        self.place.write(RUN, json.dumps(described, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n")

    def recover(self) -> None:
        """Complete, or undo, what a process was doing when it was killed."""
        if isinstance(self.place, LocalPlace):
            self.place.clean()
        if self.place.read(_COMMIT) is not None:
            self._publish()
        for name in self.place.names(_NEXT):
            self.place.remove(f"{_NEXT}/{name}")

    def clear(self) -> None:
        """Remove all rows, and what was made of them."""
        if self.place.read(RUN) is None:
            return
        for name in self._final_names():
            self.place.remove(name)
        for folder in (_NEXT, _PARTS):
            for name in self.place.names(folder):
                self.place.remove(f"{folder}/{name}")
        self.place.remove(RUN)

    def load(self, index: Index) -> int:
        """Fill the index; returns the number of rows that were read."""
        pq, count = packages.arrow("pyarrow.parquet"), 0
        for rank, name in enumerate([*self._final_names(), *self._part_names()]):
            with sentences(f"{self.place.name}/{name}", "read"), self.place.open(name) as file:
                for batch in pq.ParquetFile(file).iter_batches(8192, columns=list(_INDEXED)):
                    count += batch.num_rows
                    # The sorted files have the same rank, because a path's pages may lie in two of them.
                    order = 0 if _FINAL.match(name) else rank + 1
                    index.add(zip(*(batch.column(one).to_pylist() for one in _INDEXED), strict=True), order)
        return count

    def add(self, rows: list[Row], constants: Constants) -> None:
        """Write rows as one part. All rows of a path are added together."""
        pq = packages.arrow("pyarrow.parquet")
        names = self._part_names()
        number = 1 + max((_rank(name)[0] for name in names), default=0)
        with self.place.new_file(f"{_PARTS}/{number:08d}-0.parquet") as temporary:
            pq.write_table(schema.table(rows, constants), temporary, compression="zstd")
        self._merge_levels([*names, f"{_PARTS}/{number:08d}-0.parquet"])

    def compact(self) -> None:
        """Merge all parts into the sorted files, and replace those."""
        parts = self._part_names()
        if not parts:
            return
        names = [*self._final_names(), *parts]
        written: list[str] = []
        with ExitStack() as stack:
            tables = merged(self._opened(names, stack), drops_gone=True)
            first: Any = next(tables, None)
            while first is not None:
                name = f"images-{len(written):05d}.parquet"
                with self.place.new_file(f"{_NEXT}/{name}") as temporary:
                    first = _write(temporary, first, tables)
                written.append(name)
        self.place.write(_COMMIT, json.dumps({"files": written, "parts": parts}).encode())
        self._publish()

    def files(self) -> list[str]:
        """The names of all files with rows, the oldest first."""
        return [*self._final_names(), *self._part_names()]

    def tables(self) -> Iterator[Any]:
        """All rows in groups, sorted by path, also while a run works or after one was interrupted."""
        with ExitStack() as stack:
            yield from merged(self._opened(self.files(), stack), drops_gone=True)

    def _publish(self) -> None:
        """Move the complete sorted files to their place, and remove what they replace; may be repeated."""
        commit = json.loads(self.place.read(_COMMIT) or b"{}")
        for name in commit["files"]:
            self.place.move(f"{_NEXT}/{name}", name)
        for name in self._final_names():
            if name not in commit["files"]:
                self.place.remove(name)
        for name in commit["parts"]:
            self.place.remove(name)
        self.place.remove(_COMMIT)

    def _merge_levels(self, names: Sequence[str]) -> None:
        pq = packages.arrow("pyarrow.parquet")
        level = 0
        while len(chosen := [name for name in names if _rank(name)[1] == level]) >= FAN_IN:
            target = f"{_PARTS}/{_rank(chosen[-1])[0]:08d}-{level + 1}.parquet"
            with (
                ExitStack() as stack,
                self.place.new_file(target) as temporary,
                pq.ParquetWriter(temporary, schema.schema(), compression="zstd") as writer,
            ):
                for table in merged(self._opened(chosen, stack), drops_gone=False):
                    writer.write_table(table)
            for name in chosen:
                self.place.remove(name)
            names, level = self._part_names(), level + 1

    def _opened(self, names: Iterable[str], stack: ExitStack) -> Iterator[tuple[tuple[int, int], Any]]:
        for name in names:
            with sentences(f"{self.place.name}/{name}", "read"):
                yield _rank(name), stack.enter_context(self.place.open(name))

    def _final_names(self) -> list[str]:
        return [name for name in self.place.names("") if _FINAL.match(name)]

    def _part_names(self) -> list[str]:
        """The parts, the oldest first."""
        names = [f"{_PARTS}/{name}" for name in self.place.names(_PARTS) if _PART.match(name)]
        return sorted(names, key=_rank)


def _rank(name: str) -> tuple[int, int]:
    """Number and level of a part; (0, 0) of a sorted file, which is older than all parts."""
    match = _PART.match(name.rsplit("/", 1)[-1])
    return (0, 0) if match is None else (int(match[1]), int(match[2]))


def _write(path: Path, first: Any, tables: Iterator[Any]) -> Any:
    """Write one sorted file of the first and following tables; returns the first table of the next file."""
    pq = packages.arrow("pyarrow.parquet")
    table: Any = first
    rows = objects = 0
    with pq.ParquetWriter(path, schema.schema(), compression="zstd") as writer:
        while table is not None and rows < FILE_ROWS and objects < FILE_OBJECTS:
            writer.write_table(table, row_group_size=table.num_rows)
            rows += table.num_rows
            objects += len(table.column("objects").combine_chunks().flatten())
            table = next(tables, None)
    return table

"""Merges files that are sorted by path into one sorted stream, in which the newest rows of each path remain."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

from sod_client._archives import packages
from sod_client._archives.dataset.schema import GONE, schema

GROUP_ROWS = 4096
GROUP_OBJECTS = 50_000
_BATCH = 512
_MOST_RUNS = 256  # a run of one row is a slice of some kilobytes: 4096 of them take 30 MiB

_Entry = tuple[str, tuple[int, int], int, Any, int, int, bool]
"""Path, negated rank, page, batch, position in the batch, number of objects, whether the path is gone."""


def merged(files: Iterable[tuple[tuple[int, int], Any]], *, drops_gone: bool) -> Iterator[Any]:
    """Tables of at most `GROUP_ROWS` rows and about `GROUP_OBJECTS` objects, which depend on the rows alone.

    Args:
        files: rank and open file of each; of the rows of one path, those of the highest rank remain.
        drops_gone: whether to leave out paths that are gone; otherwise the rows that say so remain.
    """
    group = _Group()
    path: str | None = None
    rank: tuple[int, int] | None = None
    streams = [_entries(rank, file) for rank, file in files]
    for entry in heapq.merge(*streams, key=lambda entry: entry[:3]):
        if entry[0] != path:
            path, rank = entry[0], entry[1]
        if entry[1] != rank or (entry[6] and drops_gone):
            continue
        group.add(entry)
        if group.rows >= GROUP_ROWS or group.objects >= GROUP_OBJECTS:
            yield group.take()
    if group.rows:
        yield group.take()


def _entries(rank: tuple[int, int], file: Any) -> Iterator[_Entry]:
    pq, pc = packages.arrow("pyarrow.parquet"), packages.arrow("pyarrow.compute")
    negated = (-rank[0], -rank[1])
    for batch in pq.ParquetFile(file).iter_batches(_BATCH):
        paths, pages = batch.column("path").to_pylist(), batch.column("page").to_pylist()
        counts = pc.list_value_length(batch.column("objects")).to_pylist()
        states = batch.column("status").to_pylist()
        for position, path in enumerate(paths):
            yield (
                path, negated, pages[position] or 0, batch, position, counts[position] or 0, states[position] == GONE
            )  # fmt: skip


class _Group:
    """Rows of the output, as runs of neighbours in the batches of the input."""

    def __init__(self) -> None:
        self._runs: list[tuple[Any, int, int]] = []
        self._pieces: list[Any] = []
        self.rows = self.objects = 0

    def add(self, entry: _Entry) -> None:
        batch, position = entry[3], entry[4]
        if self._runs and self._runs[-1][0] is batch and sum(self._runs[-1][1:]) == position:
            self._runs[-1] = (batch, self._runs[-1][1], self._runs[-1][2] + 1)
        else:
            if len(self._runs) >= _MOST_RUNS:
                self._copy_runs()
            self._runs.append((batch, position, 1))
        self.rows += 1
        self.objects += entry[5]

    def take(self) -> Any:
        """The rows in one piece: where the writer ends a page depends on the pieces."""
        self._copy_runs()
        table = packages.arrow().concat_tables(self._pieces).cast(schema()).combine_chunks()
        self._pieces, self.rows, self.objects = [], 0, 0
        return table

    def _copy_runs(self) -> None:
        slices = [batch.slice(start, count) for batch, start, count in self._runs]
        self._pieces.append(packages.arrow().Table.from_batches(slices).combine_chunks())
        self._runs = []

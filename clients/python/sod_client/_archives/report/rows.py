"""The rows of a dataset, one after the other."""

from collections.abc import Iterator
from typing import Any

from sod_client._archives.dataset.dataset import Dataset

_BATCH = 256


def rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """All rows, sorted by path and page."""
    for table in dataset.tables():
        for batch in table.to_batches(max_chunksize=_BATCH):
            yield from batch.to_pylist()


def name(row: dict[str, Any]) -> str:
    """The image's name in a report."""
    return str(row["path"]) if row["page"] is None else f"{row['path']} (page {row['page']})"

"""Detects the rows of a Ray Data dataset."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from sod_client._archives.cluster.actor import open_gateways
from sod_client._archives.dataset.schema import FAILED, Row, table, text
from sod_client._archives.inputs.source import Source, Stamp
from sod_client._archives.inputs.stream import named
from sod_client._archives.run.images import failed, rows_of
from sod_client._archives.run.settings import Detection, Server
from sod_client.errors import SodError


class TableDetector:
    """An actor of Ray Data, for `map_batches` with pyarrow's tables.

    Args:
        server: the servers, and the most requests of this actor to each; without addresses it holds one itself.
        detection: how images are detected.
        path: the column with paths or URLs.
        content: the column with encoded images; None has the actor read them.
    """

    def __init__(self, server: Server, detection: Detection, path: str, content: str | None) -> None:
        self._gateways = open_gateways(server, detection)
        self._columns = (path, content)
        self._pool = ThreadPoolExecutor(2 * server.max_in_flight * len(self._gateways))

    def __call__(self, batch: Any) -> Any:
        """The rows of the images of a batch.

        Args:
            batch: a `pyarrow.Table` with the columns.

        Returns:
            A `pyarrow.Table` with the columns of `sod batch`.

        Raises:
            SodError: the servers do not respond.
        """
        path, content = self._columns
        paths = batch.column(path).to_pylist()
        contents = [None] * len(paths) if content is None else batch.column(content).to_pylist()
        found = self._pool.map(self._rows, paths, contents)
        return table([row for rows in found for row in rows], self._gateways.constants)

    def _rows(self, path: str, content: bytes | None) -> list[Row]:
        if content is not None:
            stamp = Stamp(len(content), None)
            return rows_of(Source(path, lambda: stamp, lambda: content), stamp, content, self._gateways)
        try:
            source = named(path)
            return rows_of(source, source.stamp(), None, self._gateways)
        except SodError as error:
            return [failed(replace(Row(text(path), None, None, None, None, FAILED)), error)]

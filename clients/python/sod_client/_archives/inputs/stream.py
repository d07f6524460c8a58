"""The files of all inputs as one stream."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from sod_client._archives import packages
from sod_client._archives.inputs import listing, manifests, shards, stores
from sod_client._archives.inputs.source import Source
from sod_client.errors import InvalidInputError, SodError, add_location

OnError = Callable[[SodError], None]


def sources(
    inputs: Sequence[str], on_error: OnError, column: str | None = None, output: str | None = None
) -> Generator[Source, None, None]:
    """The files of inputs: folders, patterns, manifests, URLs, shards, and files. Nothing is listed ahead.

    Args:
        inputs: as on the command line.
        on_error: receives the error of an input, or of a part of it, that cannot be listed; it names the input.
        column: of the manifests; None takes the first of `manifests.COLUMNS`.
        output: the dataset, whose own images are left out if it lies in an input.
    """
    own = None if output is None else f"{_absolute(output).rstrip('/')}/"
    for one in inputs:
        path = stores.local_path(one) if stores.protocol_of(one) is None else one
        found = False
        try:
            for source in _of_input(path, on_error, column):
                if own is None or not _absolute(source.path).startswith(own):
                    found = True
                    yield source
            listing.check_any(found, path)
        except SodError as error:
            on_error(add_location(error, one))


def check_inputs(inputs: Sequence[str], column: str | None, output: str) -> None:
    """Look for the first file of each input, before `--restart` removes the rows of days for a mistyped name.

    Raises:
        InvalidInputError: an input has none.
    """
    for one in inputs:
        problems: list[SodError] = []
        with closing(sources([one], problems.append, column, output)) as found:
            if next(found, None) is None and problems:
                raise InvalidInputError(f"{problems[-1]}; --restart has removed nothing")


def _absolute(path: str) -> str:
    return path if stores.protocol_of(path) is not None else os.path.abspath(stores.local_path(path))  # noqa: PTH100


def _of_input(path: str, on_error: OnError, column: str | None) -> Iterator[Source]:
    if manifests.is_manifest(path) and not listing.is_pattern(path):
        found: Iterator[Source] = map(named, manifests.names_in(path, column))
    else:
        found = listing.files_in(path, on_error)
    for source in found:
        if not listing.is_shard(source.path):
            yield source
            continue
        yield from _of_shard(source)


def named(name: str) -> Source:
    """The file with a path or URL."""
    return (
        listing.local_file(stores.local_path(name)) if stores.protocol_of(name) is None else listing.remote_file(name)
    )


def _of_shard(shard: Source) -> Iterator[Source]:
    """The images of a shard; a damaged shard is a source too, whose reading raises its error, so that it is a row."""
    try:
        yield from shards.images_in(shard)
        yield replace(shard, is_end=True)
    except SodError as error:
        failure = error

        def fail() -> bytes:
            raise failure

        yield Source(shard.path, shard.stamp, fail, is_member=True)


def count(inputs: Sequence[str], column: str | None = None) -> int | None:
    """The number of files, for the time that is left; None where counting would mean to read or fetch them."""
    total = 0
    for one in inputs:
        if stores.protocol_of(one) is not None:
            return None
        path = stores.local_path(one)
        if manifests.is_manifest(path) and not listing.is_pattern(path):
            if path.lower().endswith(".parquet"):
                total += packages.arrow("pyarrow.parquet").ParquetFile(path).metadata.num_rows
            else:
                total += sum(1 for _ in manifests.names_in(path, column))
            continue
        for source in listing.files_in(path, lambda _: None):
            if listing.is_shard(source.path):
                return None
            total += 1
    return total

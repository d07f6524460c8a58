"""The progress bar of `sod predict`: on stderr, and only for a person."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from sod_client._inputs.sources import PDF_SUFFIX, TIFF_SUFFIXES, images_below, is_url


class Progress:
    """A bar on stderr if that is a terminal, otherwise nothing.

    Args:
        total: images to come; None if nobody knows.
        quiet: no bar on a terminal either.
    """

    def __init__(self, total: int | None, *, quiet: bool) -> None:
        self._bar = tqdm(total=total, unit=" images", disable=True if quiet else None, leave=False, dynamic_ncols=True)

    def step(self) -> None:
        """One image is done."""
        self._bar.update()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While something else is written; the bar is drawn anew below it."""
        with tqdm.external_write_mode(sys.stderr):
            yield

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()


def count(inputs: Sequence[str]) -> int | None:
    """Images of an input; None where a PDF or TIFF would have to be read for it."""
    total = 0
    for path in inputs:
        found = images_below(path) if not is_url(path) and Path(path).is_dir() else [path]
        if any(Path(file).suffix.lower() in (PDF_SUFFIX, *TIFF_SUFFIXES) for file in found):
            return None
        total += max(len(found), 1)  # an empty folder is an error, which is one step
    return total

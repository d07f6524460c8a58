"""The progress bar of `sod predict`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm

from sod_client._inputs.paths import is_folder
from sod_client._inputs.sources import PDF_SUFFIX, TIFF_SUFFIXES, images_in_folder, is_pattern, is_url


class Progress:
    """A progress bar on stderr, if that is a terminal.

    Args:
        total: number of images; None if it is unknown.
        is_hidden: whether to show no bar on a terminal either.
    """

    def __init__(self, total: int | None, *, is_hidden: bool) -> None:
        self._bar = tqdm(
            total=total, unit=" images", disable=True if is_hidden else None, leave=False, dynamic_ncols=True
        )

        self._is_hidden = is_hidden
        self._slices: tqdm[NoReturn] | None = None
        self.slices_done = (0, 0)

    def step(self) -> None:
        """Count one image."""
        self._bar.update()

    def slices(self, done: int, total: int) -> None:
        """Show the slices of an image that the client cuts: their number per second, and the time that is left."""
        self.slices_done = (done, total)
        if self._slices is None:
            if self._bar.total in (None, 1):  # this image may be the only one
                self._bar.close()
            self._slices = tqdm(
                total=total,
                unit=" slices",
                disable=True if self._is_hidden else None,
                leave=False,
                dynamic_ncols=True,
                smoothing=0.05,
            )
        self._slices.update(done - self._slices.n)
        if done == total:
            self._slices.close()
            self._slices, self.slices_done = None, (0, 0)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the bar while something else is printed, and draw it again below."""
        with tqdm.external_write_mode(sys.stderr):
            yield

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._slices is not None:
            self._slices.close()


def count(inputs: Sequence[str]) -> int | None:
    """The number of images of an input; None for a pattern, or if a PDF or TIFF must be read to count them."""
    total = 0
    for path in inputs:
        if is_pattern(path):
            return None
        files = images_in_folder(path) if not is_url(path) and is_folder(path) else [path]
        if any(Path(file).suffix.lower() in (PDF_SUFFIX, *TIFF_SUFFIXES) for file in files):
            return None
        total += max(len(files), 1)  # an empty folder is one failure
    return total

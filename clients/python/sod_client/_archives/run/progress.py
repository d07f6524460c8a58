"""The progress bar of `sod batch`: images per second, MB per second, failures by kind, and the time that is left."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from tqdm import tqdm

from sod_client._archives.run.work import Outcome
from sod_client._cli import console

_SHOWN_EVERY_S = 1.0
_LINE_EVERY_S = 60.0


class Progress:
    """A bar on stderr if that is a terminal, else a line a minute, as a log needs it.

    Args:
        count: returns the number of files, or None; called in a thread, because counting takes as long as listing.
        is_hidden: whether to show neither.
    """

    def __init__(self, count: Callable[[], int | None], *, is_hidden: bool) -> None:
        self._bar = tqdm(
            total=None,
            unit=" images",
            disable=True if is_hidden else None,
            leave=False,
            dynamic_ncols=True,
            smoothing=0.05,
        )
        self._started = self._shown = self._printed = time.monotonic()
        self._size = self._images = 0
        self._prints_lines = self._bar.disable and not is_hidden
        if not is_hidden:
            threading.Thread(target=self._count, args=[count], daemon=True, name="sod-count").start()

    def step(self, outcome: Outcome, failures: Counter[str]) -> None:
        """Count one file."""
        self._bar.update(outcome.is_image)
        self._images += outcome.is_image
        self._size += outcome.size
        now = time.monotonic()
        if self._prints_lines and now - self._printed > _LINE_EVERY_S:
            self._printed = now
            self.note(self._line(now - self._started, failures))
        if now - self._shown > _SHOWN_EVERY_S:
            self._shown = now
            parts = [f"{self._size / 1e6 / (now - self._started):.1f} MB/s", failures_by_kind(failures)]
            self._bar.set_postfix_str(", ".join(filter(None, parts)), refresh=False)

    def note(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        with tqdm.external_write_mode(sys.stderr):
            console.print_error(sentence)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def _count(self, count: Callable[[], int | None]) -> None:
        try:
            total = count()
        except Exception:  # the run itself reports what cannot be listed
            return
        if total is not None:
            self._bar.total = total

    def _line(self, seconds: float, failures: Counter[str]) -> str:
        done, total = self._images, self._bar.total
        parts = [
            f"{done:,} images" if total is None else f"{done:,} of {total:,} images",
            f"{done / seconds:.1f} images/s",
            f"{self._size / 1e6 / seconds:.1f} MB/s",
            failures_by_kind(failures),
            f"{tqdm.format_interval((total - done) * seconds / done)} left" if total and total > done > 0 else "",
        ]
        return ", ".join(filter(None, parts))


def failures_by_kind(failures: Counter[str]) -> str:
    """`3 failed (2 missing, 1 refused)`; empty without failures."""
    if not failures:
        return ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(failures.items()))
    return f"{sum(failures.values()):,} failed ({kinds})"

"""Runs of `sod batch` in processes of their own, and the images for them."""

import io
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import child
from benchmarks.performance.errors import BenchmarkError

_ORIGINALS = 16
_FOLDER = 1000  # files of one folder
_SIZE = (640, 512)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took.

    Attributes:
        seconds: from start to end.
        processor_s: of the process.
        peak_mib: its largest resident memory.
    """

    seconds: float
    processor_s: float
    peak_mib: float


def make_images(folder: Path, originals: Path | None, count: int) -> Path:
    """A folder of so many images, which are hard links to a few.

    Args:
        folder: that is made; an existing one is taken for complete.
        originals: folder of JPEG files; None for synthetic ones.
        count: number of images.

    Raises:
        BenchmarkError: there is no JPEG file in `originals`.
    """
    if folder.exists():
        return folder
    sources = (
        sorted(path for path in originals.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"}) if originals else []
    )
    if originals is not None and not sources:
        raise BenchmarkError(f"there is no .jpg file in {originals}")
    own = folder.with_name(f"{folder.name}-originals")
    own.mkdir(parents=True)
    random = np.random.default_rng(0)
    contents = [one.read_bytes() for one in sources] or [_synthetic(random) for _ in range(min(count, _ORIGINALS))]
    files = []
    for number, content in enumerate(contents[:count]):
        files.append(own / f"{number}.jpg")
        files[-1].write_bytes(content)
    part = folder.with_name(f"{folder.name}.part")
    for number, file in enumerate(itertools.islice(itertools.cycle(files), count)):
        path = part / f"{number // _FOLDER:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(file)
    part.rename(folder)
    return folder


def command(images: Path, output: Path, url: str, concurrency: int, *more: str) -> list[str]:
    """The arguments of Python for a run."""
    words = ["batch", str(images), str(output), "--url", url, "--max_in_flight", str(concurrency), "--no_progress"]
    return ["-m", "sod_client", *words, *more]


def run(images: Path, output: Path, url: str, concurrency: int, *more: str) -> Run:
    """Run `sod batch`, and wait.

    Raises:
        BenchmarkError: it fails.
    """
    began = time.perf_counter()
    with child.started(command(images, output, url, concurrency, *more)) as process:
        error = process.stderr.read() if process.stderr is not None else ""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"sod batch ended with {process.returncode}: {error.strip()[-500:]}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _synthetic(random: np.random.Generator) -> bytes:
    coarse = random.integers(0, 256, (_SIZE[1] // 8, _SIZE[0] // 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(_SIZE).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()

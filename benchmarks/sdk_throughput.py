"""Compare the throughput of the Python SDK with raw HTTP requests at the same concurrency, on a running server.

The raw requests post bodies that were encoded before, and discard the responses unread. Both sides are measured
alternately, so that other load on the machine affects both. The report is printed in Markdown.
"""

import argparse
import base64
import http.client
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from sod_client import Pipeline, SodError, create_pipeline

_PATH = "/small-object-detection"
_TIMEOUT_S = 300
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.sdk_throughput") -> int:
    """Measure and print the report.

    Returns:
        0; 1 if the SDK is slower by more than `--tolerance` or memory grows by more than `--growth` MiB; 2 if the
        measurement is impossible.
    """
    options = _parser(prog).parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as work:
            folder = folder_of(Path(work), options.images, options.count, options.size)
            with create_pipeline(url=options.url, max_in_flight=options.concurrency) as pipeline:
                return _compare(pipeline, folder, options)
    except SodError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--url",
        default=os.environ.get("SOD_URL") or "http://127.0.0.1:8080",
        help="a running gateway (default: SOD_URL, or http://127.0.0.1:8080)",
    )
    parser.add_argument(
        "--images", type=Path, help="folder of JPEG files, which are sent repeatedly (default: synthetic images)"
    )
    parser.add_argument("--count", type=int, default=1000, help="number of images to send (default: 1000)")
    parser.add_argument("--size", type=int, default=640, help="width of the synthetic images in pixels (default: 640)")
    parser.add_argument("--concurrency", type=int, default=4, help="concurrent requests (default: 4)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=10,
        help="number of parts, each sent by both sides (default: 10)",
    )
    parser.add_argument("--visualize", action="store_true", help="request overlays")
    parser.add_argument(
        "--tolerance", type=float, default=0.1, help="allowed share by which the SDK is slower (default: 0.1)"
    )
    parser.add_argument("--growth", type=float, default=32, help="MiB by which memory may grow (default: 32)")
    return parser


def _compare(pipeline: Pipeline, folder: Path, options: argparse.Namespace) -> int:
    files = sorted(folder.iterdir())
    shares = [files[start :: options.rounds] for start in range(options.rounds)]
    for _ in pipeline.predict(files[: 2 * options.concurrency], visualize=options.visualize):
        pass
    raw, sdk = [], []
    for number, share in enumerate(shares):
        for turn in (number, number + 1):  # the side that is first alternates
            if turn % 2:
                sdk.append(len(share) / _sdk(pipeline, share, visualize=options.visualize))
            else:
                bodies = [body(file, visualize=options.visualize) for file in share]
                raw.append(len(bodies) / raw_seconds(options.url, bodies, options.concurrency))
                del bodies
    ratios = [of_sdk / of_raw for of_raw, of_sdk in zip(raw, sdk, strict=True)]
    memory = _memory_over(pipeline, folder, visualize=options.visualize)
    print(_report(options, len(files), raw, sdk, memory))
    return 0 if statistics.median(ratios) >= 1 - options.tolerance and _growth(memory) <= options.growth else 1


def _sdk(pipeline: Pipeline, files: Sequence[Path], *, visualize: bool) -> float:
    """Seconds in which the SDK sends these files."""
    started = time.perf_counter()
    count = sum(1 for _ in pipeline.predict(files, visualize=visualize))
    seconds = time.perf_counter() - started
    if count != len(files):
        raise SodError(f"the SDK returned {count} results for {len(files)} images")
    return seconds


def _memory_over(pipeline: Pipeline, folder: Path, *, visualize: bool) -> list[float]:
    """Resident MiB after each tenth of the folder but the first, in which memory pools and caches fill."""
    seen: list[float] = []
    tenth = max(1, len(list(folder.iterdir())) // 10)
    for number, _ in enumerate(pipeline.predict(folder, visualize=visualize), 1):
        if number % tenth == 0:
            seen.append(_resident_mib())
    return seen[1:] or seen


def _growth(memory: Sequence[float]) -> float:
    """Median of the later half less median of the earlier half, in MiB; medians, because requests in flight vary."""
    middle = len(memory) // 2
    return statistics.median(memory[middle:]) - statistics.median(memory[:middle] or memory)


def raw_seconds(url: str, bodies: Sequence[bytes], concurrency: int) -> float:
    """Seconds in which threads, each on a connection of its own, send these bodies.

    Raises:
        SodError: a request fails.
    """
    parts = urlsplit(url)
    waiting = iter(bodies)
    lock = threading.Lock()
    failures: list[str] = []

    def send() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_S)
        try:
            for body in _shared(waiting, lock):
                connection.request("POST", _PATH, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                if response.status != http.client.OK:
                    failures.append(f"the server answered {response.status}")
                    return
        except OSError as error:
            failures.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(concurrency)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SodError(f"a raw request failed: {failures[0]}")
    return time.perf_counter() - started


def _shared(waiting: Iterator[bytes], lock: threading.Lock) -> Iterator[bytes]:
    while True:
        with lock:
            body = next(waiting, None)
        if body is None:
            return
        yield body


def body(file: Path, *, visualize: bool) -> bytes:
    """The body of a request for an image."""
    image = base64.b64encode(file.read_bytes()).decode("ascii")
    return json.dumps({"image": image, "threshold": None, "visualize": visualize}).encode()


def folder_of(work: Path, images: Path | None, count: int, width: int) -> Path:
    """Create a folder of `count` links to the images in `images`, or to synthetic ones."""
    sources = sorted(path.absolute() for path in images.rglob("*") if path.suffix.lower() == ".jpg") if images else []
    if images is not None and not sources:
        raise SodError(f"{images} contains no .jpg file")
    if not sources:
        random = np.random.default_rng(0)
        originals = work / "originals"
        originals.mkdir()
        for number in range(min(count, 16)):
            coarse = random.integers(0, 256, (width * 9 // 16 // 8, width // 8, 3), np.uint8)
            Image.fromarray(coarse).resize((width, width * 9 // 16)).save(originals / f"{number}.jpg", quality=90)
        sources = sorted(originals.iterdir())
    folder = work / "images"
    folder.mkdir()
    for number, source in enumerate(itertools.islice(itertools.cycle(sources), count)):
        (folder / f"{number:06}.jpg").symlink_to(source)
    return folder


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


def _report(
    options: argparse.Namespace, count: int, raw: Sequence[float], sdk: Sequence[float], memory: Sequence[float]
) -> str:
    ratios = [of_sdk / of_raw for of_raw, of_sdk in zip(raw, sdk, strict=True)]
    lines = [
        f"## SDK and raw HTTP requests: {count} images, concurrency {options.concurrency}, "
        f"{'with' if options.visualize else 'without'} overlays",
        "",
        "| round | raw, images/s | SDK, images/s | SDK / raw |",
        "| ---: | ---: | ---: | ---: |",
        *(
            f"| {number} | {of_raw:.2f} | {of_sdk:.2f} | {ratio:.3f} |"
            for number, (of_raw, of_sdk, ratio) in enumerate(zip(raw, sdk, ratios, strict=True), 1)
        ),
        f"| **median** | {statistics.median(raw):.2f} | {statistics.median(sdk):.2f} "
        f"| **{statistics.median(ratios):.3f}** |",
        "",
        f"Resident memory of the SDK's process after each tenth of the images: "
        f"{', '.join(f'{each:.1f}' for each in memory)} MiB; growth from the earlier to the later half "
        f"{_growth(memory):+.1f} MiB.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

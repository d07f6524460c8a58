"""What the Python SDK costs: a folder of images through it, against raw HTTP requests at the same concurrency.

The raw load posts bodies that were made before, and reads the replies without a look at them. Both run in turn, so
that a machine that is busy with other things is so for both. Against a running server:

    python -m benchmarks.sdk_throughput --url http://127.0.0.1:8080 --images ./images

The report is Markdown, on stdout.
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
    """Run it; returns 1 if the SDK is more than `--tolerance` behind, or memory grows by more than `--growth` MiB."""
    options = _parser(prog).parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as made:
            folder = _folder(Path(made), options.images, options.count, options.size)
            with create_pipeline(url=options.url, max_in_flight=options.concurrency) as pipeline:
                return _compare(pipeline, folder, options)
    except SodError as error:
        print(f"sdk_throughput: {error}", file=sys.stderr)
        return 2


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", required=True, help="of a running gateway")
    parser.add_argument("--images", type=Path, help="folder of JPEGs to take again and again (default: made ones)")
    parser.add_argument("--count", type=int, default=1000, help="images of the folder (default: 1000)")
    parser.add_argument("--size", type=int, default=640, help="width of the made images (default: 640)")
    parser.add_argument("--concurrency", type=int, default=4, help="requests under way (default: 4)")
    parser.add_argument(
        "--rounds", type=int, default=10, help="parts of the folder, each taken by both in turn (default: 10)"
    )
    parser.add_argument("--visualize", action="store_true", help="have the server draw")
    parser.add_argument("--tolerance", type=float, default=0.1, help="share the SDK may be slower (default: 0.1)")
    parser.add_argument("--growth", type=float, default=32, help="MiB that memory may grow (default: 32)")
    return parser


def _compare(pipeline: Pipeline, folder: Path, options: argparse.Namespace) -> int:
    files = sorted(folder.iterdir())
    shares = [files[start :: options.rounds] for start in range(options.rounds)]
    for _ in pipeline.predict(files[: 2 * options.concurrency], visualize=options.visualize):
        pass
    raw, sdk = [], []
    for number, share in enumerate(shares):
        for turn in (number, number + 1):  # who goes first changes from round to round
            if turn % 2:
                sdk.append(len(share) / _sdk(pipeline, share, visualize=options.visualize))
            else:
                bodies = [_body(file, visualize=options.visualize) for file in share]
                raw.append(len(bodies) / _raw(options.url, bodies, options.concurrency))
                del bodies
    ratios = [of_sdk / of_raw for of_raw, of_sdk in zip(raw, sdk, strict=True)]
    memory = _memory_over(pipeline, folder, visualize=options.visualize)
    print(_report(options, len(files), raw, sdk, memory))
    return 0 if statistics.median(ratios) >= 1 - options.tolerance and _growth(memory) <= options.growth else 1


def _sdk(pipeline: Pipeline, files: Sequence[Path], *, visualize: bool) -> float:
    """Seconds for these files."""
    begun = time.perf_counter()
    count = sum(1 for _ in pipeline.predict(files, visualize=visualize))
    seconds = time.perf_counter() - begun
    if count != len(files):
        raise SodError(f"{count} results of {len(files)} images")
    return seconds


def _memory_over(pipeline: Pipeline, folder: Path, *, visualize: bool) -> list[float]:
    """Resident MiB after each tenth of the whole folder, the first tenth left out: it fills pools and caches."""
    seen: list[float] = []
    tenth = max(1, len(list(folder.iterdir())) // 10)
    for number, _ in enumerate(pipeline.predict(folder, visualize=visualize), 1):
        if number % tenth == 0:
            seen.append(_resident_mib())
    return seen[1:] or seen


def _growth(memory: Sequence[float]) -> float:
    """MiB from the earlier half to the later one, by their medians: what is in flight goes up and down."""
    middle = len(memory) // 2
    return statistics.median(memory[middle:]) - statistics.median(memory[:middle] or memory)


def _raw(url: str, bodies: Sequence[bytes], concurrency: int) -> float:
    """Seconds for these requests, each thread on a connection of its own."""
    parts = urlsplit(url)
    waiting = iter(bodies)
    lock = threading.Lock()
    failures: list[str] = []

    def ask() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_S)
        try:
            for body in _shared(waiting, lock):
                connection.request("POST", _PATH, body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                reply.read()
                if reply.status != http.client.OK:
                    failures.append(f"the server answered {reply.status}")
                    return
        except OSError as error:
            failures.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(concurrency)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SodError(f"the raw load: {failures[0]}")
    return time.perf_counter() - begun


def _shared(waiting: Iterator[bytes], lock: threading.Lock) -> Iterator[bytes]:
    while True:
        with lock:
            body = next(waiting, None)
        if body is None:
            return
        yield body


def _body(file: Path, *, visualize: bool) -> bytes:
    image = base64.b64encode(file.read_bytes()).decode("ascii")
    return json.dumps({"image": image, "threshold": None, "visualize": visualize}).encode()


def _folder(made: Path, images: Path | None, count: int, width: int) -> Path:
    """A folder of `count` images: links to those of `images`, or made ones."""
    sources = sorted(path.absolute() for path in images.rglob("*") if path.suffix.lower() == ".jpg") if images else []
    if images is not None and not sources:
        raise SodError(f"{images} holds no .jpg")
    if not sources:
        random = np.random.default_rng(0)
        originals = made / "originals"
        originals.mkdir()
        for number in range(min(count, 16)):
            coarse = random.integers(0, 256, (width * 9 // 16 // 8, width // 8, 3), np.uint8)
            Image.fromarray(coarse).resize((width, width * 9 // 16)).save(originals / f"{number}.jpg", quality=90)
        sources = sorted(originals.iterdir())
    folder = made / "images"
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
        f"## SDK against raw HTTP: {count} images, {options.concurrency} at once, "
        f"{'with' if options.visualize else 'without'} drawing",
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
        f"Resident memory over the whole folder in one call, by tenths: {', '.join(f'{each:.1f}' for each in memory)} "
        f"MiB; the later half's median is {_growth(memory):+.1f} MiB from the earlier one's.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

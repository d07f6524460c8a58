"""`python -m benchmarks.edge FOLDER…`: edge models in Chromium, in their web app, beside ONNX Runtime in Python.

Prints a row per folder: bytes, the time to load the model, and the median time of an image of 1280 x 720, in both. Each
folder is served by this process; Chromium has no GPU, so it runs WebAssembly.
"""

import argparse
import base64
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, sync_playwright

from export.edge.runtime import edge_detector
from export.tables import Table
from export.verification.images import load_images

CHROMIUM = Path("/usr/bin/chromium")
EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "minsk-crossing.jpg"
SIZE = (1280, 720)
HEADER = ["precision", "model, MiB", "Chromium: load, ms", "ms an image", "Python: load, ms", "ms an image"]


class _Handler(SimpleHTTPRequestHandler):
    """Static files with the headers that threads need."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the folder on loopback; yields its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def in_python(folder: Path, image: NDArray[np.uint8], runs: int) -> tuple[float, float]:
    """Milliseconds to load `model.onnx`, its first run included, and the median of an image."""
    start = time.perf_counter()
    detector = edge_detector(folder / "model.onnx")
    detector(np.zeros((8, 8, 3), np.uint8))
    loaded = time.perf_counter() - start
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        detector(image)
        times.append(time.perf_counter() - start)
    return 1000 * loaded, 1000 * statistics.median(times)


def in_chromium(browser: Browser, folder: Path, image: NDArray[np.uint8], runs: int) -> tuple[float, float]:
    """The same in a new tab, by the app's own worker."""
    script = """async ([rgb, width, height, runs]) => {
        const { Detector } = await import("./detector.js");
        const detector = new Detector();
        const loaded = await detector.load();
        const pixels = Uint8Array.from(atob(rgb), (character) => character.charCodeAt(0));
        const times = [];
        for (let run = 0; run < runs; run++) {
            const data = new Uint8ClampedArray(width * height * 4);
            for (let at = 0; at < width * height; at++) data.set(pixels.subarray(3 * at, 3 * at + 3), 4 * at);
            times.push((await detector.detect(new ImageData(data, width, height))).ms);
        }
        return [loaded.ms, times, loaded.engine];
    }"""
    context = browser.new_context(service_workers="block")
    tab = context.new_page()
    with served(folder) as url:
        tab.goto(f"{url}labels.json")  # a page of this origin, which loads no model itself
        encoded = base64.b64encode(image.tobytes()).decode()
        loaded, times, engine = tab.evaluate(script, [encoded, image.shape[1], image.shape[0], runs])
        context.close()
    print(f"{folder.name}: {engine}", file=sys.stderr)
    return loaded, statistics.median(times)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the folders, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of make export TARGET=edge")
    parser.add_argument("--runs", type=int, default=10, help="images in each engine (default: %(default)s)")
    options = parser.parse_args(argv)
    for folder in options.folders:
        if not (folder / "index.html").is_file():
            parser.error(f"{folder} has no web app: make export TARGET=edge OUT={folder}")
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    if not CHROMIUM.exists():
        parser.error(f"{CHROMIUM} is missing: apt-get install chromium")
    image = np.ascontiguousarray(cv2.resize(load_images([EXAMPLE])[0], SIZE)[..., ::-1], np.uint8)
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for folder in options.folders:
            precision = json.loads((folder / "labels.json").read_text("utf-8"))["precision"]
            size = (folder / "model.onnx").stat().st_size / 2**20
            times = [*in_chromium(browser, folder, image, options.runs), *in_python(folder, image, options.runs)]
            rows.append([precision, f"{size:.1f}", *(f"{value:.0f}" for value in times)])
        browser.close()
    print(Table(HEADER, rows).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())

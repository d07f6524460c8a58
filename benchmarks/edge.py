"""`sod bench edge FOLDER…`: edge models in Chromium, in their web app, beside ONNX Runtime in Python.

Prints a row per folder: bytes, the time to load the model, the median time of an image of 1280 x 720, in both, and the
largest differences between the objects over 0.3. Each folder is served by this process; Chromium runs WebAssembly.
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
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from export.edge.runtime import edge_detector
from export.tables import Table
from export.verification.images import load_images
from sod.detections import Detections

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "minsk-crossing.jpg"
SIZE = (1280, 720)
COMPARED = 0.3
HEADER = [
    "precision",
    "model, MiB",
    "Chromium: load, ms",
    "ms an image",
    "Python: load, ms",
    "ms an image",
    "box, px",
    "score",
]


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


@dataclass(frozen=True, slots=True)
class Result:
    """What one engine took, and what it found.

    Attributes:
        load_ms: to load the model, a first run included.
        image_ms: the median of an image.
        found: the objects of that image.
    """

    load_ms: float
    image_ms: float
    found: Detections


def in_python(folder: Path, image: NDArray[np.uint8], runs: int) -> Result:
    """Run `model.onnx` in this process."""
    start = time.perf_counter()
    detector = edge_detector(folder / "model.onnx")
    detector(np.zeros((8, 8, 3), np.uint8))
    loaded = time.perf_counter() - start
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        found = detector(image)
        times.append(time.perf_counter() - start)
    return Result(1000 * loaded, 1000 * statistics.median(times), found)


def in_chromium(browser: "Browser", folder: Path, image: NDArray[np.uint8], runs: int) -> Result:
    """Run `model.onnx` in the app's own worker, in a new tab."""
    script = """async ([rgb, width, height, runs]) => {
        const { Detector } = await import("./detector.js");
        const detector = new Detector();
        const loaded = await detector.load();
        const pixels = Uint8Array.from(atob(rgb), (character) => character.charCodeAt(0));
        const times = [];
        let objects;
        for (let run = 0; run < runs; run++) {
            const data = new Uint8ClampedArray(width * height * 4).fill(255);
            for (let at = 0; at < width * height; at++) data.set(pixels.subarray(3 * at, 3 * at + 3), 4 * at);
            const result = await detector.detect(new ImageData(data, width, height));
            times.push(result.ms);
            objects = result.objects;
        }
        return [loaded.engine, loaded.ms, times, objects];
    }"""
    context = browser.new_context(service_workers="block")
    tab = context.new_page()
    with served(folder) as url:
        tab.goto(f"{url}labels.json")  # a page of this origin, which loads no model itself
        encoded = base64.b64encode(image.tobytes()).decode()
        engine, loaded, times, objects = tab.evaluate(script, [encoded, image.shape[1], image.shape[0], runs])
        context.close()
    print(f"{folder}: {engine}", file=sys.stderr)
    found = Detections(
        np.array([one["bbox"] for one in objects], np.float32).reshape(-1, 4),
        np.array([one["score"] for one in objects], np.float32),
        np.array([one["categoryId"] for one in objects], np.int32),
    )
    return Result(loaded, statistics.median(times), found)


def differences(one: Detections, other: Detections) -> tuple[float, float]:
    """The largest differences of box and score from the nearest object of the class, of both sides; else infinite."""
    box = score = 0.0
    for these, those in ((one, other), (other, one)):
        these = these.of(these.scores > COMPARED)  # noqa: PLW2901
        apart = np.abs(these.boxes[:, None] - those.boxes).max(axis=2, initial=0)
        apart[these.class_ids[:, None] != those.class_ids] = np.inf
        if len(these):
            box = max(box, float(apart.min(axis=1, initial=np.inf).max()))
            score = max(score, float(np.abs(these.scores - those.scores[apart.argmin(axis=1)]).max()))
    return box, score


def main(argv: Sequence[str] | None = None, prog: str = "sod bench edge") -> int:
    """Measure the folders, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
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
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 — a development dependency
    except ImportError:
        parser.error("playwright is missing: make test installs it")
    image = np.ascontiguousarray(cv2.resize(load_images([EXAMPLE])[0], SIZE)[..., ::-1], np.uint8)
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for folder in options.folders:
            precision = json.loads((folder / "labels.json").read_text("utf-8"))["precision"]
            size = (folder / "model.onnx").stat().st_size / 2**20
            web, python = (
                in_chromium(browser, folder, image, options.runs),
                in_python(folder, image, options.runs),
            )
            times = [web.load_ms, web.image_ms, python.load_ms, python.image_ms]
            box, score = differences(web.found, python.found)
            rows.append([precision, f"{size:.1f}", *(f"{value:.0f}" for value in times), f"{box:.3f}", f"{score:.5f}"])
        browser.close()
    print(Table(HEADER, rows).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The web app at `/edge/` in Chromium, with the gateway stopped and the network cut: its boxes are those of Python."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from export.cli import main
from export.edge.runtime import EdgeDetector, edge_detector
from export.edge.web_app import find_web_app
from export.verification.images import load_images
from tests.e2e.conftest import DEMO
from tests.gateway.logged_process import ROOT, logging_to
from tests.required import require

EXAMPLES = [ROOT / "docs" / "examples" / f"{name}.jpg" for name in ("minsk-crossing", "munich-street", "hit-uav")]
COMPARED, FLOOR = 0.3, 0.05  # objects over the first must be on the other side, with a score over the second
MAX_PIXELS, MAX_SCORE = 0.5, 0.01
_TIMEOUT_MS = 120_000


@dataclass
class App:
    """The app in one tab, after its gateway has gone."""

    tab: Page
    loaded: str  # the status after the first start, with a network
    problems: list[str] = field(default_factory=list)

    def status(self) -> str:
        return self.tab.locator("#status").inner_text()

    def detect(self, path: Path) -> dict[str, Any]:
        """Choose the image, and save the result."""
        self.tab.evaluate("document.getElementById('status').textContent = ''")
        self.tab.set_input_files("#file", path)
        self.tab.locator("#status", has_text="objects,").wait_for()
        with self.tab.expect_download() as download:
            self.tab.click("#save")
        return dict(json.loads(download.value.path().read_text("utf-8")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's app."""
    found = find_web_app()
    require(not isinstance(found, str), str(found))
    made = tmp_path_factory.mktemp("edge")
    assert main(["--target", "edge", "--name", DEMO, "--edge_dir", str(made)]) == 0
    return made


@pytest.fixture(scope="module")
def detector(folder: Path) -> EdgeDetector:
    return edge_detector(folder / "model.ort")


@pytest.fixture(scope="module")
def app(browser: Browser, folder: Path) -> Iterator[App]:
    """The app, which was opened once; then the gateway was stopped, the network was cut, and it was opened again."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
    tab = context.new_page()
    tab.set_default_timeout(_TIMEOUT_MS)
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    with logging_to(folder.parent / "edge-gateway.log", "--edge-dir", str(folder)) as (url, process):
        tab.goto(f"{url}/edge/")
        tab.locator("#choose:enabled").wait_for()
        tab.locator("html[data-offline=ready]").wait_for()
        loaded = tab.locator("#status").inner_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        context.set_offline(True)
        tab.reload()
        tab.locator("#choose:enabled").wait_for()
        tab.locator("#threshold").fill(str(FLOOR))
        yield App(tab, loaded, problems)
    context.close()
    assert problems == []


def test_it_has_threads_and_can_be_installed(app: App) -> None:
    assert app.tab.evaluate("[crossOriginIsolated, isSecureContext, navigator.onLine]") == [True, True, False]
    assert app.loaded.startswith("Ready: W"), app.loaded
    session = app.tab.context.new_cdp_session(app.tab)
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert json.loads(manifest["data"])["display"] == "standalone"
    # The only thing that Chromium misses is a profile: a test's context is a private window.
    missing = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in missing] == ["in-incognito"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_boxes_are_those_of_python(app: App, detector: EdgeDetector, path: Path) -> None:
    saved = app.detect(path)
    (image,) = load_images([path])
    assert (saved["image"], saved["width"], saved["height"]) == (path.name, image.shape[1], image.shape[0])
    found = detector(np.ascontiguousarray(image[..., ::-1]))
    ours = [(int(c), s, b) for b, s, c in zip(found.boxes, found.scores, found.class_ids, strict=True) if s > FLOOR]
    theirs = [(o["categoryId"], o["score"], np.array(o["bbox"])) for o in saved["detectedObjects"]]
    assert sum(score > COMPARED for _, score, _ in ours) >= 5
    for one, other in ((ours, theirs), (theirs, ours)):
        for class_id, score, box in one:
            if score <= COMPARED:
                continue
            same = [(np.abs(box - b).max(), abs(score - s)) for c, s, b in other if c == class_id]
            distance, difference = min(same)
            assert distance <= MAX_PIXELS
            assert difference <= MAX_SCORE


def test_an_image_larger_than_a_phone_s_canvas_has_its_boxes_in_its_own_pixels(
    app: App, detector: EdgeDetector, tmp_path: Path
) -> None:
    (image,) = load_images([EXAMPLES[0]])
    large = cv2.resize(image, (5760, 3240), interpolation=cv2.INTER_CUBIC)  # 19 million pixels
    cv2.imwrite(str(tmp_path / "large.jpg"), large)
    saved = app.detect(tmp_path / "large.jpg")
    assert (saved["width"], saved["height"]) == (5760, 3240)
    found = detector(np.ascontiguousarray(image[..., ::-1]))
    best = saved["detectedObjects"][0]
    assert np.abs(found.boxes * 3 - best["bbox"]).max(axis=1).min() < 15, "5 pixels of the smaller image"


def test_what_is_no_image_is_one_sentence(app: App, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    app.tab.set_input_files("#file", tmp_path / "notes.txt")
    app.tab.locator("#status.error").wait_for()
    assert app.status() == "notes.txt is not an image that this browser can read: choose a JPEG, PNG or WebP file."


def test_the_camera_runs_until_it_is_stopped(app: App) -> None:
    """Chromium's camera is a test pattern; what counts is that frame after frame gets a result."""
    app.tab.evaluate("document.getElementById('status').textContent = ''")
    app.tab.click("#camera")
    for _ in range(2):
        app.tab.locator("#status", has_text="objects,").wait_for()
        app.tab.evaluate("document.getElementById('status').textContent = ''")
    assert app.tab.locator("#camera").inner_text() == "Stop"
    app.tab.click("#camera")
    assert app.tab.locator("#camera").inner_text() == "Camera"
    assert app.tab.evaluate("document.getElementById('canvas').width") >= 640


def test_the_score_filters_what_is_shown(app: App) -> None:
    app.detect(EXAMPLES[0])
    counts = []
    for score in (0.1, 0.5, 0.9):
        app.tab.locator("#threshold").fill(str(score))
        text = app.tab.locator("#counts").inner_text()
        counts.append(sum(int(part.rsplit(" ", 1)[1]) for part in text.split(" · ") if part))
    app.tab.locator("#threshold").fill(str(FLOOR))
    assert counts[0] > counts[1] > 0 == counts[2]


def test_the_benchmark_has_both_engines_beside_each_other(app: App, folder: Path) -> None:
    assert app.loaded, "Chromium is here"
    command = [sys.executable, "-m", "benchmarks.cli", "edge", str(folder), "--runs", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    row = [cell.strip() for cell in result.stdout.splitlines()[-1].strip("|").split("|")]
    assert row[0] == "fp32"
    assert all(float(cell) > 0 for cell in row[1:6])
    assert float(row[6]) <= MAX_PIXELS
    assert float(row[7]) <= MAX_SCORE


def test_the_benchmark_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.cli", "edge", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"{tmp_path} has no web app: make export TARGET=edge OUT={tmp_path}" in result.stderr

"""Debian's Chromium, headless, and the demo page in it as a user meets it."""

import base64
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, Route, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
DETECT = "**/small-object-detection"
# What the gateway sends in production; set here where it does not, so that the page is always tested under it.
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'"
)
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--force-color-profile=srgb",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
_PATIENCE_MS = 60_000  # of every wait; slow machines are no failure


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. Its tests are skipped where it is absent, and fail there on CI, which has to have it."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not here: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


class DemoPage:
    """The page in one tab; what went wrong in it is in `complaints`, what it asked of the API in `asked`."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.context = context
        self.tab: Page = context.new_page()
        self.tab.set_default_timeout(_PATIENCE_MS)
        self.complaints: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", lambda message: self._listen(message.type, message.text))
        self.tab.on("request", self._watch)
        self.tab.route(lambda address: address.rstrip("/") in (url, f"{url}/docs"), self._add_policy)

    def open(self, path: str = "/") -> None:
        self.tab.goto(self.url + path)
        if path == "/":
            self["#model:enabled"].wait_for()

    def __getitem__(self, selector: str) -> Locator:
        return self.tab.locator(selector)

    def give(self, image: bytes, name: str = "street.jpg") -> None:
        """Choose a file, and wait for the answer."""
        self.tab.set_input_files("#file", {"name": name, "mimeType": "", "buffer": image})
        self.wait_for_answer()

    def drop(self, content: bytes, name: str, kind: str) -> None:
        """Drag a file onto the image's place and let it go."""
        transfer = self.tab.evaluate_handle(
            """([bytes, name, type]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([Uint8Array.from(bytes)], name, {type}));
                return transfer;
            }""",
            [list(content), name, kind],
        )
        self["#canvas"].dispatch_event("dragenter", {"dataTransfer": transfer})
        self["#canvas"].dispatch_event("drop", {"dataTransfer": transfer})

    def wait_for_answer(self) -> None:
        self["#save-json:enabled"].wait_for()
        self["#busy"].wait_for(state="hidden")

    def set_score(self, score: float) -> None:
        self["#threshold"].fill(str(score))

    @property
    def score(self) -> float:
        return float(self["#threshold"].input_value())

    @property
    def zoom(self) -> int:
        """Per cent."""
        return int(self["#zoom-level"].inner_text().split()[0])

    def rows(self) -> list[list[str]]:
        """The list's cells."""
        rows: list[list[str]] = self.tab.evaluate(
            "[...document.querySelectorAll('#rows tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        return rows

    def pixels(self) -> NDArray[np.uint8]:
        """What the canvas holds: uint8 [H, W, 4], RGBA."""
        # The next frame but one has drawn what was asked for before.
        data: str = self.tab.evaluate(
            """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() =>
                resolve(document.getElementById('canvas').toDataURL('image/png').split(',')[1]))))"""
        )
        return read_png(data)

    def place(self) -> dict[str, float]:
        """The canvas on the screen: x, y, width, height in CSS pixels."""
        place = self["#canvas"].bounding_box()
        assert place is not None
        return dict(place)

    def whole_view(self, width: int, height: int) -> tuple[float, float, float]:
        """Scale and offset of a whole image of that size on the canvas."""
        place = self.place()
        scale = min(place["width"] / width, place["height"] / height)
        return scale, (place["width"] - width * scale) / 2, (place["height"] - height * scale) / 2

    def _listen(self, kind: str, text: str) -> None:
        # Chromium reports every answer of 4xx and 5xx; those are the tests' own.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def _watch(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.complaints.append(f"asked for {request.url}")
        if request.method == "POST":
            self.asked.append(json.loads(request.post_data or "{}"))

    def _add_policy(self, route: Route) -> None:
        answer = route.fetch()
        headers = {"content-security-policy": POLICY, **answer.headers}
        route.fulfill(response=answer, headers=headers)


OpenPage = Callable[..., DemoPage]  # the path, and options of the browser's context


def read_png(base64_or_bytes: str | bytes) -> NDArray[np.uint8]:
    """uint8 [H, W, 4], RGBA."""
    data = base64.b64decode(base64_or_bytes) if isinstance(base64_or_bytes, str) else base64_or_bytes
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))

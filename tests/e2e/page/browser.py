"""Debian's Chromium without a window, and the demo page in it."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    FilePayload,
    Locator,
    Page,
    Request,
    Route,
    sync_playwright,
)

from tests.required import require

CHROMIUM = Path("/usr/bin/chromium")
DETECT = "**/small-object-detection"
# The Content-Security-Policy that the gateway sends in production. It is added to responses that lack one.
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
_TIMEOUT_MS = 60_000  # of every wait, for slow machines


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser. Without Chromium the test is skipped, or fails if CI=true."""
    require(CHROMIUM.exists(), f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


class DemoPage:
    """The page in one tab.

    Attributes:
        url: address of the gateway.
        context: the browser context of the tab.
        tab: the tab.
        problems: JavaScript errors, console warnings, and requests to other hosts.
        requests: JSON bodies that the page has posted.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.context = context
        self.tab: Page = context.new_page()
        self.tab.set_default_timeout(_TIMEOUT_MS)
        self.problems: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.tab.on("pageerror", lambda error: self.problems.append(str(error)))
        self.tab.on("console", lambda message: self._on_console(message.type, message.text))
        self.tab.on("request", self._on_request)
        self.tab.route(lambda address: address.rstrip("/") in (url, f"{url}/docs"), self._add_policy)

    def open(self, path: str = "/") -> None:
        self.tab.goto(self.url + path)
        if path == "/":
            self["#model:enabled"].wait_for()

    def __getitem__(self, selector: str) -> Locator:
        return self.tab.locator(selector)

    def give(self, image: bytes, name: str = "street.jpg") -> None:
        """Choose a file, and wait for the response."""
        self.choose({name: image})
        self.wait_for_response()

    def choose(self, files: dict[str, bytes]) -> None:
        """Choose files in the dialog of the button."""
        chosen = [FilePayload(name=name, mimeType="", buffer=content) for name, content in files.items()]
        self.tab.set_input_files("#file", chosen)

    def drop(self, content: bytes, name: str, kind: str) -> None:
        """Drag a file onto the canvas and drop it."""
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

    def wait_for_response(self) -> None:
        self["#save:enabled"].wait_for()
        self["#busy"].wait_for(state="hidden")

    def wait_for_all(self) -> None:
        """Wait until no image of the strip lacks its result."""
        self["#thumbs:not(:has(.waiting))"].wait_for(state="attached")

    def set_score(self, score: float) -> None:
        self["#threshold"].fill(str(score))

    @property
    def score(self) -> float:
        return float(self["#threshold"].input_value())

    @property
    def zoom(self) -> int:
        """The zoom level in per cent."""
        return int(self["#zoom-level"].inner_text().split()[0])

    def rows(self) -> list[list[str]]:
        """The text of the cells of the list."""
        rows: list[list[str]] = self.tab.evaluate(
            "[...document.querySelectorAll('#rows tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        return rows

    def pixels(self) -> NDArray[np.uint8]:
        """The content of the canvas: uint8 [H, W, 4], RGBA."""
        # After two frames everything that was requested before has been drawn.
        data: str = self.tab.evaluate(
            """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() =>
                resolve(document.getElementById('canvas').toDataURL('image/png').split(',')[1]))))"""
        )
        return read_png(data)

    def place(self) -> dict[str, float]:
        """The position of the canvas on the screen: x, y, width, height in CSS pixels."""
        place = self["#canvas"].bounding_box()
        assert place is not None
        return dict(place)

    def whole_view(self, width: int, height: int) -> tuple[float, float, float]:
        """Scale and offset of an image of that size when it fills the canvas."""
        place = self.place()
        scale = min(place["width"] / width, place["height"] / height)
        return scale, (place["width"] - width * scale) / 2, (place["height"] - height * scale) / 2

    def _on_console(self, kind: str, text: str) -> None:
        # Chromium also reports every response of 4xx and 5xx, which the tests provoke.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.problems.append(text)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.problems.append(f"the page requested {request.url}")
        if request.method == "POST":
            self.requests.append(json.loads(request.post_data or "{}"))

    def _add_policy(self, route: Route) -> None:
        response = route.fetch()
        headers = {"content-security-policy": POLICY, **response.headers}
        route.fulfill(response=response, headers=headers)


OpenPage = Callable[..., DemoPage]  # the path, and options of the browser's context


def read_png(base64_or_bytes: str | bytes) -> NDArray[np.uint8]:
    """Decode a PNG to uint8 [H, W, 4], RGBA."""
    data = base64.b64decode(base64_or_bytes) if isinstance(base64_or_bytes, str) else base64_or_bytes
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))

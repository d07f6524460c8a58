"""The browser, and the demo page of the shared server."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.page.browser import DemoPage, OpenPage, chromium
from tests.e2e.page.expected import FLOOR
from tests.e2e.started_server import Serving


# The scope is a module, because while Playwright runs its event loop, pytest-asyncio cannot start another one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser, server: Serving) -> Iterator[OpenPage]:
    """Open the page in a new browser context; at the end of the test it must have reported no problem."""
    pages: list[DemoPage] = []

    def open_one(path: str = "/", **options: Any) -> DemoPage:
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options}
        page = DemoPage(browser.new_context(**options), server.url)
        pages.append(page)
        page.open(path)
        return page

    yield open_one
    for page in pages:
        page.context.close()
    assert [page.problems for page in pages] == [[] for _ in pages]


@pytest.fixture
def page(open_page: OpenPage) -> DemoPage:
    return open_page()


@pytest.fixture(scope="module")
def found(server: Serving, image: bytes) -> list[dict[str, Any]]:
    """The objects that the API finds in the image, by descending score."""
    objects = server.post(image, threshold=FLOOR, visualize=False).json()["result"]["detectedObjects"]
    assert len(objects) > 20
    return sorted(objects, key=lambda one: -one["score"])

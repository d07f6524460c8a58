"""The switch for slices: what is asked, the grid, the times, links, reloads, two models; and lists of thousands."""

import io
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Route

from tests.e2e.page.browser import DETECT, DemoPage, OpenPage
from tests.e2e.page.expected import FLOOR, above, cells, noise
from tests.e2e.started_server import Serving


def choose(page: DemoPage, slices: str) -> None:
    page[f"#slices button[value={slices}]"].click()
    page.tab.wait_for_timeout(100)
    page.wait_for_response()


@pytest.fixture(scope="module")
def scene(image: bytes) -> bytes:
    """Grey around the usual image: 1600 px wide, so that the grid is seen on plain ground."""
    canvas = Image.new("RGB", (1600, 1000), (128, 128, 128))
    inner = Image.open(io.BytesIO(image))
    canvas.paste(inner.crop((0, 0, 900, 600)), (350, 200))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()


def test_off_auto_and_on(page: DemoPage, server: Serving, scene: bytes) -> None:
    page.give(scene)
    assert "slice" not in page.requests[-1]
    assert "slices" not in page["#timing-text"].inner_text()
    for choice, field in (("auto", "auto"), ("on", True)):
        choose(page, choice)
        assert page.requests[-1]["slice"] == field
        assert page[f"#slices button[value={choice}]"].get_attribute("aria-pressed") == "true"
    response = server.post(scene, threshold=FLOOR, visualize=False, slice=True)
    count = response.headers["x-slices"]
    assert re.search(rf"\b{count} slices\b", page["#timing-text"].inner_text())
    found = sorted(response.json()["result"]["detectedObjects"], key=lambda one: -one["score"])
    assert sorted(page.rows()) == sorted(cells(one) for one in above(found, page.score))
    asked = len(page.requests)
    choose(page, "on")
    assert len(page.requests) == asked, "the same choice again asks nothing"
    choose(page, "off")
    assert "slice" not in page.requests[-1]


def test_an_image_up_to_1_5_times_the_input_stays_whole_with_auto(page: DemoPage) -> None:
    page["#slices button[value=auto]"].click()
    page.give(noise()[0], "noise.png")
    assert page.requests[-1]["slice"] == "auto"
    assert "slices" not in page["#timing-text"].inner_text()


def test_the_grid_is_faint_and_only_where_slices_were(page: DemoPage, scene: bytes) -> None:
    page.give(scene)
    page.set_score(0.95)
    whole = page.pixels()[..., :3].astype(int)
    choose(page, "on")
    page.set_score(0.95)
    scale, x, y = page.whole_view(1600, 1000)
    # The grey above the photograph: the number of slices may take a line more, so that the canvas becomes smaller.
    ground = page.pixels()[round(y + 20) : round(y + 150 * scale), :, :3].astype(int)
    # Slices of 640 at 0, 480 and 960: their right borders at 640, 1120, 1600.
    left, width = round(x + 480 * scale), 3
    change = np.abs(ground - ground[:1, left + 20 : left + 21]).max(axis=2)
    line, between = change[:, left - 1 : left + width], change[:, left + 12 : left + 40]
    assert (line.max(axis=1) > 0).mean() > 0.9
    assert between.max() == 0
    assert line.max() <= 64, "it is faint"
    choose(page, "off")
    page.set_score(0.95)
    assert (page.pixels()[..., :3] == whole).all()


def test_links_and_reloads_keep_the_choice(open_page: OpenPage, server: Serving) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    url = f"{server.url}/static/examples/munich-street.jpg"  # the tests' server may fetch from itself
    page["#slices button[value=on]"].click()
    page["#url"].fill(url)
    page["#url"].press("Enter")
    page.wait_for_response()
    page["#copy-curl"].click()
    page["#status:has-text('Copied')"].wait_for()
    assert '"slice":true' in page.tab.evaluate("navigator.clipboard.readText()")
    page["#copy-link"].click()
    page.tab.wait_for_timeout(300)
    link = page.tab.evaluate("navigator.clipboard.readText()")
    assert parse_qs(urlsplit(link).query)["slices"] == ["on"]
    timing, rows = page["#timing-text"].inner_text(), page.rows()
    page.tab.wait_for_timeout(500)
    asked = len(page.requests)
    page.tab.reload()
    page["#model:enabled"].wait_for()
    page.wait_for_response()
    assert page["#timing-text"].inner_text() == timing
    assert page["#slices button[value=on]"].get_attribute("aria-pressed") == "true"
    assert len(page.requests) == asked
    other = open_page()
    other.open(link.removeprefix(server.url))
    other.wait_for_response()
    assert other.requests[0]["slice"] is True, "a second request is for the image to show"
    assert other.rows() == rows
    wrong = open_page()
    wrong.open("/?slices=many")
    wrong["#problem"].wait_for()
    assert wrong["#problem-text"].inner_text() == "The link has slices=many; it must be off, auto or on."


def test_both_models_of_a_comparison_are_asked_alike(page: DemoPage, server: Serving, image: bytes) -> None:
    page["#slices button[value=on]"].click()
    page.give(image)
    names = [one["name"] for one in server.http.get("/models").json()["result"]["models"]]
    page["#compare"].select_option(names[1])
    page["#sides"].wait_for()
    assert [one["slice"] for one in page.requests] == [True, True]
    choose(page, "off")
    page.tab.wait_for_timeout(500)
    page["#sides"].wait_for()
    page["#compare-label:not(.waiting)"].wait_for()
    assert [one.get("slice") for one in page.requests[2:]] == [None, None]


def test_chinese(open_page: OpenPage, scene: bytes) -> None:
    page = open_page(locale="zh-CN")
    page["#slices button[value=on]"].click()
    page.give(scene)
    assert page["#slices"].inner_text().split() == ["关", "自动", "开"]
    assert "个切片" in page["#timing-text"].inner_text()


def test_a_refused_slicing_returns_to_the_result_that_is_there(page: DemoPage, scene: bytes) -> None:
    page.give(scene)
    rows = page.rows()
    envelope = {"logId": "1", "errorCode": 422, "errorMsg": "the image makes 900 slices; the limit is 512"}
    page.tab.route(DETECT, lambda route: route.fulfill(status=422, json=envelope), times=1)
    page["#slices button[value=on]"].click()
    page["#problem"].wait_for()
    assert page.rows() == rows
    assert page["#slices button[value=off]"].get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize(
    ("place", "licence", "author"),
    [(0, "CC BY-SA", "Yauhen Kharuzhy"), (1, "CC BY 3.0", "KIT AIS"), (2, "CC BY 4.0", "HIT-UAV")],
)
def test_examples_show_their_licence(page: DemoPage, image: bytes, place: int, licence: str, author: str) -> None:
    button = page["#examples button"].nth(place)
    assert licence in button.inner_text()
    button.click()
    page.wait_for_response()
    assert page["#credit"].inner_text().startswith(f"Photograph: {author}")
    assert page["#credit a"].inner_text() == licence
    page.give(image)
    page["#credit"].wait_for(state="hidden")


def test_three_thousand_objects(page: DemoPage, scene: bytes) -> None:
    def crowd(route: Route) -> None:
        places = [(x, y) for y in range(0, 1000, 20) for x in range(0, 1600, 26)][:3000]
        objects: list[dict[str, Any]] = [
            {"bbox": [x, y, x + 12, y + 12], "categoryId": 3, "categoryName": "car", "score": 0.9 - 0.0001 * index}
            for index, (x, y) in enumerate(places)
        ]
        document = {"logId": "1", "errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": objects}}
        route.fulfill(json=document, headers={"x-slices": "7"})

    page.tab.route(DETECT, crowd)
    page.give(scene)
    assert page["#status"].inner_text().startswith("3000 objects shown.")
    assert len(page.rows()) == 500
    assert page["#list-all"].inner_text() == "List all 3000"
    page["#list-all"].click()
    assert len(page.rows()) == 3000
    assert page["#list-all"].is_hidden()
    assert page.tab.evaluate("document.activeElement.dataset.index") == "500"
    frames = page.tab.evaluate(
        """async () => {
            const canvas = document.getElementById('canvas');
            const began = performance.now();
            for (let i = 0; i < 5; i += 1) {
                canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: i % 2 ? 100 : -100, bubbles: true}));
                await new Promise((resolve) => requestAnimationFrame(resolve));
            }
            return (performance.now() - began) / 5;
        }"""
    )
    assert frames < 1000, "ms for a frame; all pairs would take seconds"
    page.set_score(0.88)
    assert len(page.rows()) < 500
    assert page["#list-all"].is_hidden()

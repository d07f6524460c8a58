"""Two models side by side, and links to what the page shows."""

from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest

from tests.e2e.page.browser import DETECT, DemoPage, OpenPage
from tests.e2e.page.expected import FLOOR, above, cells
from tests.e2e.started_server import Serving


@pytest.fixture(scope="module")
def models(server: Serving) -> list[str]:
    names = [one["name"] for one in server.http.get("/models").json()["result"]["models"]]
    assert len(names) == 2
    return names


@pytest.fixture(scope="module")
def of_other(server: Serving, image: bytes, models: list[str]) -> list[dict[str, Any]]:
    """The second model's objects, by descending score."""
    response = server.post(image, threshold=FLOOR, visualize=False, model=models[1])
    return sorted(response.json()["result"]["detectedObjects"], key=lambda one: -one["score"])


@pytest.fixture
def compared(page: DemoPage, image: bytes, models: list[str]) -> DemoPage:
    page.give(image)
    page.set_score(0.3)
    page["#compare"].select_option(models[1])
    page["#sides"].wait_for()
    return page


def test_each_side_has_the_boxes_of_its_model(compared: DemoPage, models: Any, of_other: Any) -> None:
    page = compared
    compare = [page.pixels()]
    page["#divider"].focus()
    for key in ("End", "Home"):
        page.tab.keyboard.press(key)
        compare.append(page.pixels())
    both, first, second = compare
    page["#compare"].select_option("")
    page["#sides"].wait_for(state="hidden")
    page.tab.mouse.move(2, 2)
    assert (first[:, :-3] == page.pixels()[:, :-3]).all()
    page["#model"].select_option(models[1])
    page.tab.wait_for_timeout(100)
    page["#busy"].wait_for(state="hidden")
    assert page.rows() == [cells(one) for one in above(of_other, 0.3)]
    alone = page.pixels()
    assert (first != alone).any()
    assert (second[:, 3:] == alone[:, 3:]).all()
    middle = both.shape[1] // 2
    assert (both[:, : middle - 2] == first[:, : middle - 2]).all()
    assert (both[:, middle + 2 :] == second[:, middle + 2 :]).all()


def test_the_divider_is_dragged(compared: DemoPage) -> None:
    page = compared
    place = page.place()
    box = page["#divider"].bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert x == pytest.approx(place["x"] + place["width"] / 2, abs=1)
    before = page.pixels()
    page.tab.mouse.move(x, y)
    page.tab.mouse.down()
    page.tab.mouse.move(place["x"] + place["width"] / 4, y, steps=4)
    page.tab.mouse.up()
    assert page["#divider"].get_attribute("aria-valuenow") == "25"
    assert (page.pixels() != before).any()


def test_the_numbers_of_both_models_are_shown(
    compared: DemoPage, models: list[str], found: Any, of_other: Any, image: bytes
) -> None:
    page = compared
    counts = [len(above(one, 0.3)) for one in (found, of_other)]
    for side, model, count in zip(("left", "right"), models, counts, strict=True):
        objects = "object" if count == 1 else "objects"
        assert page[f"#side-{side}"].inner_text() == f"{model}: {count} {objects}"
    assert page["#status"].inner_text().splitlines()[-1].endswith(f"shown, of {len(of_other)} found.")
    page.set_score(FLOOR)
    assert page["#side-right"].inner_text() == f"{models[1]}: {len(above(of_other, FLOOR))} objects"
    requests = len(page.requests)
    page.give(image, "again.jpg")
    page["#sides"].wait_for()
    page["#thumbs .thumb"].first.click()
    page["#facts:has-text('street.jpg')"].wait_for()
    page["#sides"].wait_for()
    assert len(page.requests) == requests + 2, "each model is asked once for each image"


def test_a_second_model_that_fails_leaves_the_first(page: DemoPage, image: bytes, models: list[str]) -> None:
    page.give(image)
    rows = page.rows()
    envelope = {"logId": "1", "errorCode": 503, "errorMsg": "Too much at once"}
    page.tab.route(DETECT, lambda route: route.fulfill(status=503, json=envelope), times=1)
    page["#compare"].select_option(models[1])
    page["#problem"].wait_for()
    assert page.rows() == rows
    assert page["#compare"].input_value() == ""
    page["#retry"].click()
    page["#sides"].wait_for()
    assert page["#problem"].is_hidden()


def test_a_link_opens_with_model_threshold_and_image(open_page: OpenPage, server: Serving, models: list[str]) -> None:
    page = open_page()
    url = f"{server.url}/static/examples/munich-street.jpg"  # the tests' server may fetch from itself
    page.open(f"/?model={models[1]}&threshold=0.21&image={quote(url, safe='')}")
    page.wait_for_response()
    assert page["#model"].input_value() == models[1]
    assert page.score == 0.21
    assert page.requests[0] == {"image": url, "threshold": FLOOR, "visualize": False, "model": models[1]}
    content = server.http.get(url).content
    response = server.post(content, threshold=0.21, visualize=False, model=models[1]).json()
    assert len(page.rows()) == len(response["result"]["detectedObjects"]) > 0
    assert page["#facts"].inner_text().startswith("munich-street.jpg")

    page.tab.wait_for_timeout(500)
    requests = len(page.requests)
    page.tab.reload()
    page["#model:enabled"].wait_for()
    page.wait_for_response()
    assert (len(page.requests), page["#thumbs li"].count()) == (requests, 1)


def test_the_copied_link_opens_the_same(open_page: OpenPage, server: Serving, models: list[str]) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    url = f"{server.url}/static/examples/hit-uav.jpg"
    page["#url"].fill(url)
    page["#url"].press("Enter")
    page.wait_for_response()
    page.set_score(0.17)
    page["#copy-link"].click()
    page["#status:has-text('Copied')"].wait_for()
    link = page.tab.evaluate("navigator.clipboard.readText()")
    assert parse_qs(urlsplit(link).query) == {"model": [models[0]], "threshold": ["0.17"], "image": [url]}
    other = open_page()
    other.tab.goto(link)
    other["#model:enabled"].wait_for()
    other.wait_for_response()
    assert other.rows() == page.rows()
    assert np.abs(other.pixels().astype(int) - page.pixels()).max() == 0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("model=none", "The link names the model none, which is not loaded. Loaded: PP-YOLOE"),
        ("threshold=2", "The link's threshold is 2; it must be a number from 0.05 to 0.95."),
        ("threshold=", "The link's threshold is ;"),
        ("image=file:///etc/passwd", "The server fetches http and https addresses only."),
        ("image=javascript:alert(1)", "The server fetches http and https addresses only."),
    ],
)
def test_a_link_that_is_wrong_is_one_sentence(page: DemoPage, query: str, words: str) -> None:
    page.tab.goto(f"{page.url}/?{query}")
    page["#problem"].wait_for()
    assert page["#problem-text"].inner_text().startswith(words)
    assert page.requests == []

"""Several images: the strip, files that are no images, examples, and what a reload keeps."""

import base64
from typing import Any

import numpy as np
import pytest

from tests.e2e.page.browser import DETECT, DemoPage, OpenPage
from tests.e2e.page.expected import TIMES, above, cells, noise, size_of
from tests.e2e.started_server import Serving


def names(page: DemoPage) -> list[str]:
    """The files in the strip, once each has its result."""
    page.wait_for_all()
    labels: list[str] = page["#thumbs .thumb"].evaluate_all("(all) => all.map((it) => it.ariaLabel)")
    return [label.split(":")[0] for label in labels]


def sent(page: DemoPage) -> list[str]:
    return [body["image"] for body in page.requests]


def test_several_images_are_detected_once_each(page: DemoPage, images: dict[str, bytes], found: Any) -> None:
    page.choose(images)
    page.wait_for_response()
    assert names(page) == list(images)
    assert sorted(sent(page)) == sorted(base64.b64encode(one).decode() for one in images.values())
    shapes = page["#thumbs img"].evaluate_all("(all) => all.map((it) => [it.naturalWidth, it.naturalHeight])")
    assert all(width > 20 and height == 96 for width, height in shapes)

    first, *_, last = images
    assert page["#thumbs [aria-current=true]"].get_attribute("aria-label").startswith(first)
    assert page.rows() == [cells(one) for one in above(found, page.score)]
    page["#thumbs .thumb"].last.click()
    page[f"#facts:has-text('{last}')"].wait_for()
    width, height = size_of(images[last])
    assert page["#facts"].inner_text() == f"{last} · {width} {TIMES} {height} px"
    page["#thumbs .thumb"].first.click()
    page[f"#facts:has-text('{first}')"].wait_for()
    assert page.rows() == [cells(one) for one in above(found, page.score)]
    assert len(page.requests) == len(images), "an image that is shown again is detected again"


def test_images_are_removed(page: DemoPage, images: dict[str, bytes]) -> None:
    page.choose(images)
    page.wait_for_response()
    first, second, *_ = names(page)
    page["#thumbs li"].first.hover()
    page["#thumbs .cross"].first.click()
    page[f"#facts:has-text('{second}')"].wait_for()
    assert first not in names(page)
    page["#strip-clear"].click()
    page["#empty"].wait_for()
    assert page["#strip"].is_hidden()
    assert page["#save"].is_disabled()
    page.tab.wait_for_timeout(500)  # the store is written with a delay
    page.tab.reload()
    page["#model:enabled"].wait_for()
    assert page["#empty"].is_visible()


def test_a_bad_file_keeps_what_was_there(page: DemoPage, image: bytes) -> None:
    page.give(image, "good.jpg")
    shown, rows = page.pixels(), page.rows()
    page.choose({"notes.txt": b"no image at all", "empty.png": b"", "half.jpg": image[:300]})
    page["#problem-text:has-text('half.jpg')"].wait_for()
    page.wait_for_all()
    sentences = page["#problem-text"].inner_text().splitlines()
    assert sorted(sentence.split(":")[0] for sentence in sentences) == ["empty.png", "half.jpg", "notes.txt"]
    assert any("empty" in sentence.split(":", 1)[1] for sentence in sentences)
    page["#dismiss"].click()
    assert names(page) == ["good.jpg"]
    assert page["#facts"].inner_text().startswith("good.jpg")
    assert page.rows() == rows
    assert (page.pixels() == shown).all()
    assert page["#save"].is_enabled()


def test_good_files_beside_a_bad_one_are_shown(page: DemoPage, image: bytes) -> None:
    page.choose({"notes.txt": b"no image at all", "good.jpg": image})
    page["#problem"].wait_for()
    assert names(page) == ["good.jpg"]
    page["#thumbs .thumb"].click()
    page.wait_for_response()
    assert page["#facts"].inner_text().startswith("good.jpg")


def test_a_reload_keeps_images_results_and_filters(page: DemoPage, image: bytes) -> None:
    page.choose({"a.png": noise()[0], "b.jpg": image})
    page.wait_for_all()
    page["#thumbs .thumb"].last.click()
    page["#facts:has-text('b.jpg')"].wait_for()
    page.set_score(0.13)
    page["#class-list input"].first.uncheck()
    rows, pixels, status = page.rows(), page.pixels(), page["#status"].inner_text()
    assert rows
    page.tab.wait_for_timeout(500)  # the store is written with a delay
    page.requests.clear()

    page.tab.reload()
    page["#model:enabled"].wait_for()
    page.wait_for_response()
    assert names(page) == ["a.png", "b.jpg"]
    assert page.score == 0.13
    assert (page.rows(), page["#status"].inner_text()) == (rows, status)
    assert (page.pixels() == pixels).all()
    page["#thumbs .thumb"].first.click()
    page["#facts:has-text('a.png')"].wait_for()
    assert page.requests == []


def test_a_reload_keeps_images_that_only_the_server_reads(page: DemoPage, image: bytes) -> None:
    url = "https://example.com/street.jpg"
    answers = [
        {"detectedObjects": [{"bbox": [1, 2, 30, 40], "categoryId": 3, "categoryName": "car", "score": 0.9}]},
        {"detectedObjects": [], "image": base64.b64encode(image).decode()},
    ]
    envelopes = [{"logId": "1", "errorCode": 0, "errorMsg": "Success", "result": result} for result in answers]
    page.tab.route(DETECT, lambda route: route.fulfill(json=envelopes[route.request.post_data_json["visualize"]]))
    page["#url"].fill(url)
    page["#url"].press("Enter")
    page.wait_for_response()
    pixels = page.pixels()
    page.tab.wait_for_timeout(500)
    page.requests.clear()
    page.tab.reload()
    page.wait_for_response()
    assert page.rows() == [["car", "0.90", f"29 {TIMES} 38"]]
    assert (page.pixels() == pixels).all()
    assert page.requests == []


def test_without_a_store_the_page_works(open_page: OpenPage, image: bytes) -> None:
    page = open_page()
    page.context.add_init_script("Object.defineProperty(window, 'indexedDB', {value: undefined})")
    page.tab.reload()
    page["#model:enabled"].wait_for()
    page.give(image)
    page.tab.reload()
    page["#model:enabled"].wait_for()
    assert page["#empty"].is_visible()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_examples(page: DemoPage, server: Serving, place: int) -> None:
    button = page["#examples button"].nth(place)
    button.locator("img").evaluate("(it) => it.decode()")
    source = str(button.locator("img").get_attribute("src"))
    button.click()
    page.wait_for_response()
    content = server.http.get(f"/{source}").content
    assert sent(page) == [base64.b64encode(content).decode()]
    assert page["#facts"].inner_text().startswith(source.rsplit("/", 1)[1])
    objects = server.post(content, threshold=0.05, visualize=False).json()["result"]["detectedObjects"]
    assert len(page.rows()) == len([one for one in objects if one["score"] > np.float32(page.score)]) > 0

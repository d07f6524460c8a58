"""All sources of an image: clipboard, address, file formats, camera; and the choice of the model."""

import base64
import io
import json
import re
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Route

from sod.image import decode_image
from tests.e2e.page.browser import DETECT, DemoPage
from tests.e2e.page.expected import FLOOR, TIMES, above, assert_box_is_drawn, cells, size_of
from tests.e2e.started_server import Serving


def test_a_pasted_image_is_taken(page: DemoPage, image: bytes, found: Any) -> None:
    page.tab.evaluate(
        """(bytes) => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([Uint8Array.from(bytes)], "pasted.jpg", {type: "image/jpeg"}));
            document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
        }""",
        list(image),
    )
    page.wait_for_response()
    assert page.rows() == [cells(one) for one in above(found, page.score)]


def test_an_address_is_fetched_by_the_server(page: DemoPage, image: bytes, found: Any) -> None:
    url = "https://example.com/some/street.jpg"

    def fetch(route: Route) -> None:  # the guard against private hosts lets the server fetch nothing of ours
        body = route.request.post_data_json
        route.continue_(post_data=json.dumps({**body, "image": base64.b64encode(image).decode()}))

    page.tab.route(DETECT, fetch)
    page["#url"].fill(url)
    page["#url"].press("Enter")
    page.wait_for_response()
    assert page.rows() == [cells(one) for one in above(found, page.score)]
    assert_box_is_drawn(page, found[0], *size_of(image))
    assert page.requests == [
        {"image": url, "threshold": FLOOR, "visualize": False},
        {"image": url, "threshold": 1, "visualize": True},  # the image without a box
    ]


def test_an_image_that_browsers_cannot_show_comes_from_the_server(page: DemoPage, image: bytes) -> None:
    pixels = decode_image(image)
    page.give(cv2.imencode(".tiff", pixels)[1].tobytes(), "street.tiff")
    page.set_score(0.95)
    page["#classes-none"].click()
    height, width = pixels.shape[:2]
    assert page["#facts"].inner_text() == f"street.tiff · {width} {TIMES} {height} px"
    scale, x, y = page.whole_view(width, height)
    shown = page.pixels()[int(y) + 1 : int(y + height * scale), int(x) + 1 : int(x + width * scale), :3]
    expected = cv2.resize(pixels[..., ::-1], shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    # The zoom buttons lie above the canvas, not in it.
    assert np.abs(shown.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_turned_images_and_their_boxes_agree(page: DemoPage, server: Serving, image: bytes, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").save(buffer, "JPEG", quality=95, exif=exif)
    turned = buffer.getvalue()
    answer = server.post(turned, threshold=FLOOR, visualize=False).json()["result"]["detectedObjects"]
    page.give(turned)
    width, height = size_of(turned)
    assert page["#facts"].inner_text().endswith(f"{width} {TIMES} {height} px")
    assert_box_is_drawn(page, max(answer, key=lambda one: one["score"]), width, height)


def test_the_model_is_chosen(page: DemoPage, server: Serving, image: bytes) -> None:
    models = server.http.get("/models").json()["result"]["models"]
    assert len(models) == 2
    other = models[1]["name"]
    page.give(image)
    page["#model"].select_option(other)
    page["#busy"].wait_for(state="hidden")
    page.wait_for_response()
    assert [body.get("model") for body in page.requests] == [None, other]
    answer = server.post(image, threshold=FLOOR, visualize=False, model=other).json()["result"]["detectedObjects"]
    page.set_score(FLOOR)
    assert page.rows() == [cells(one) for one in sorted(answer, key=lambda one: -one["score"])]


def test_camera(page: DemoPage) -> None:
    page["#camera"].click()
    page["#shoot"].click()
    page.wait_for_response()
    assert re.fullmatch(rf"camera\.jpg · \d+ {TIMES} \d+ px", page["#facts"].inner_text())
    assert page["#camera-bar"].is_hidden()

    page["#camera"].click()
    page["#continuous"].click()
    page["#rate:has-text('a second')"].wait_for()
    count = len(page.requests)
    while len(page.requests) < count + 3:
        page.tab.wait_for_event("request", lambda request: request.method == "POST")
    assert page["#continuous"].get_attribute("aria-pressed") == "true"
    assert page["#video"].is_hidden()
    page["#camera-stop"].click()
    assert page["#camera-bar"].is_hidden()
    page.wait_for_response()


def test_without_a_camera_there_is_a_sentence(page: DemoPage) -> None:
    page.tab.evaluate(
        """() => {
            navigator.mediaDevices.getUserMedia =
                () => Promise.reject(new DOMException("Requested device not found", "NotFoundError"));
        }"""
    )
    page["#camera"].click()
    page["#problem"].wait_for()
    assert page["#problem-text"].inner_text() == "There is no camera."

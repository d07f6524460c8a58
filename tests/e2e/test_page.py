"""The demo page in a real browser, against the real server."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route

from sod.image import decode_image
from sod.palette import class_colour
from tests.e2e.browser import DETECT, DemoPage, chromium, read_png
from tests.e2e.started_server import Serving

FLOOR = 0.05
TIMES = "\N{MULTIPLICATION SIGN}"
OpenPage = Callable[..., DemoPage]


# A module's, not the session's: while it runs Playwright keeps an event loop, and pytest-asyncio's could not start.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser, server: Serving) -> Iterator[OpenPage]:
    """Open the page in a context of its own; at the end nothing may have gone wrong in it."""
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
    assert [page.complaints for page in pages] == [[] for _ in pages]


@pytest.fixture
def page(open_page: OpenPage) -> DemoPage:
    return open_page()


@pytest.fixture(scope="module")
def found(server: Serving, image: bytes) -> list[dict[str, Any]]:
    """What the API answers to the image; the best score first."""
    objects = server.post(image, threshold=FLOOR, visualize=False).json()["result"]["detectedObjects"]
    assert len(objects) > 20
    return sorted(objects, key=lambda one: -one["score"])


def above(objects: list[dict[str, Any]], score: float) -> list[dict[str, Any]]:
    return [one for one in objects if one["score"] > np.float32(score)]


def cells(one: dict[str, Any]) -> list[str]:
    left, top, right, bottom = one["bbox"]
    size = [half_up(side) for side in (right - left, bottom - top)]
    return [one["categoryName"], f"{one['score']:.2f}", f"{size[0]} {TIMES} {size[1]}"]


def half_up(value: float) -> int:
    """As JavaScript rounds."""
    return int(np.floor(value + 0.5))


def rgb(class_id: int) -> tuple[int, int, int]:
    blue, green, red = class_colour(class_id)
    return red, green, blue


def assert_box_is_drawn(page: DemoPage, one: dict[str, Any], width: int, height: int) -> None:
    """The line around an object has its colour, at the whole image's view; true of the best, drawn last."""
    scale, x, y = page.whole_view(width, height)
    left, top, right, bottom = one["bbox"]
    x0, x1 = (half_up(side * scale + x) for side in (left, right))
    y0, y1 = (half_up(side * scale + y) for side in (top, bottom))
    pixels = page.pixels()[..., :3].astype(int)
    line = [pixels[row, x0:x1] for row in (y0 - 1, y1) if 0 <= row < len(pixels)]
    line += [pixels[y0:y1, column] for column in (x0 - 1, x1) if 0 <= column < pixels.shape[1]]
    points = np.concatenate(line)
    assert len(line) >= 2
    assert (points == rgb(one["categoryId"])).all(axis=1).mean() > 0.9, one


def size_of(image: bytes) -> tuple[int, int]:
    height, width = decode_image(image).shape[:2]
    return width, height


def test_a_dropped_image_shows_what_the_api_answers(page: DemoPage, image: bytes, found: Any) -> None:
    page.drop(image, "street.jpg", "image/jpeg")
    page.wait_for_answer()

    shown = above(found, page.score)
    assert shown
    assert page.rows() == [cells(one) for one in shown]
    width, height = size_of(image)
    assert page["#facts"].inner_text() == f"street.jpg · {width} {TIMES} {height} px"
    assert_box_is_drawn(page, found[0], width, height)
    (asked,) = page.asked
    assert asked == {"image": base64.b64encode(image).decode(), "threshold": FLOOR, "visualize": False}


def test_a_pasted_image_is_taken(page: DemoPage, image: bytes, found: Any) -> None:
    page.tab.evaluate(
        """(bytes) => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([Uint8Array.from(bytes)], "pasted.jpg", {type: "image/jpeg"}));
            document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
        }""",
        list(image),
    )
    page.wait_for_answer()
    assert page.rows() == [cells(one) for one in above(found, page.score)]


def test_filters_ask_nobody(page: DemoPage, image: bytes, found: Any) -> None:
    page.give(image)
    for score in (0.05, 0.1, 0.2, 0.3, 0.6):
        page.set_score(score)
        expected = above(found, score)
        assert len(page.rows()) == len(expected)
        below = len(found) - len(expected)
        told = f"{len(expected)} of {len(found)} objects shown"
        assert page["#status"].inner_text() == told + (f" · {below} at {score:.2f} or less." if below else ".")

    page.set_score(FLOOR)
    before = page.pixels()
    one = found[0]["categoryName"]
    label = page[f"#class-list label:has-text('{one}')"].first
    assert int(label.locator("b").inner_text()) == sum(other["categoryName"] == one for other in found)
    label.locator("input").uncheck()
    left = [other for other in found if other["categoryName"] != one]
    assert page.rows() == [cells(other) for other in left]
    assert f"{len(found) - len(left)} in classes switched off" in page["#status"].inner_text()
    assert (page.pixels() != before).any()

    page["#classes-none"].click()
    assert page.rows() == []
    page["#classes-all"].click()
    assert len(page.rows()) == len(found)
    assert (page.pixels() == before).all()
    assert len(page.asked) == 1


def test_the_slider_stays_where_it_was_put(page: DemoPage, image: bytes, found: Any) -> None:
    page.set_score(0.07)
    page.give(image)
    assert page.score == 0.07
    assert len(page.rows()) == len(above(found, 0.07))


def test_the_list_is_sorted_by_its_heads(page: DemoPage, image: bytes) -> None:
    page.give(image)
    page.set_score(FLOOR)

    def order(head: str, column: int) -> list[Any]:
        page[f"[data-sort={head}]"].click()
        values = [row[column] for row in page.rows()]
        return [float(value) for value in values] if head == "score" else values

    ascending = order("score", 1)
    assert ascending == sorted(ascending)
    descending = order("score", 1)
    assert descending == ascending[::-1]
    assert page["th[aria-sort=descending]"].inner_text() == "Score"
    names = order("class", 0)
    assert [name for i, name in enumerate(names) if name not in names[:i]] == list(
        page["#class-list label span"].all_inner_texts()
    )
    sizes = [np.prod([int(side) for side in size.split(f" {TIMES} ")]) for size in order("size", 2)]
    assert sizes[0] >= sizes[-1]


def noise(width: int = 200, height: int = 120) -> tuple[bytes, Any]:
    """A PNG in which every pixel has a colour of its own; and its pixels, RGB."""
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(), pixels


def test_zoom_keeps_the_point_and_shows_its_pixels(page: DemoPage) -> None:
    image, source = noise()
    page.give(image, "noise.png")
    page.set_score(0.95)
    page["#classes-none"].click()
    height, width = source.shape[:2]
    scale, x, y = page.whole_view(width, height)
    assert page.zoom == half_up(scale * 100)

    place = page.place()
    column, row = 61, 70  # the middle of this pixel, to the screen's next one
    point = (half_up(x + (column + 0.5) * scale), half_up(y + (row + 0.5) * scale))
    page.tab.mouse.move(place["x"] + point[0], place["y"] + point[1])
    for _ in range(30):
        page.tab.mouse.wheel(0, -200)
    page["#zoom-level:has-text('6400 %')"].wait_for()
    pixels = page.pixels()[..., :3]
    assert (pixels[point[1], point[0]] == source[row, column]).all()
    # One pixel of the image is a square of 64, with hard edges.
    line = pixels[point[1], point[0] - 100 : point[0] + 100]
    changes = (line[1:] != line[:-1]).any(axis=1)
    assert 2 <= changes.sum() <= 4

    page.tab.mouse.down()
    page.tab.mouse.move(place["x"] + point[0] + 64, place["y"] + point[1] - 128, steps=4)
    page.tab.mouse.up()
    assert (page.pixels()[point[1] - 128, point[0] + 64, :3] == source[row, column]).all()

    page["#zoom-fit"].click()
    assert page.zoom == half_up(scale * 100)
    page.tab.mouse.dblclick(place["x"] + point[0], place["y"] + point[1])
    assert page.zoom == half_up(scale * 300)


def test_the_minimap_leads_to_its_point(page: DemoPage) -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[:200, 200:] = (0, 0, 255)  # red, right above
    page.give(cv2.imencode(".png", pixels)[1].tobytes(), "quarters.png")
    page["#classes-none"].click()
    for _ in range(6):
        page["#zoom-out" if page.zoom > 5000 else "#zoom-in"].click()
    place = page.place()
    # The map is 132 wide, 10 from the corner; a quarter in from its right and its top edge.
    page.tab.mouse.click(place["x"] + place["width"] - 10 - 33, place["y"] + 10 + 33)
    middle = page.pixels()[int(place["height"] / 2), int(place["width"] / 2), :3]
    assert middle.tolist() == [255, 0, 0]


def test_keyboard_alone(page: DemoPage, image: bytes, found: Any) -> None:
    page.give(image)
    page.set_score(0.2)
    keyboard = page.tab.keyboard

    def focused() -> str:
        outline, name = page.tab.evaluate(
            """() => {
                const it = document.activeElement;
                return [getComputedStyle(it).outlineStyle, it.id || it.dataset.sort || it.value || it.tagName];
            }"""
        )
        assert outline != "none", f"nobody sees the focus on {name}"
        return str(name)

    page["h1"].click()  # the tab key goes on from there
    order: list[str] = []
    while "TR" not in order:
        keyboard.press("Tab")
        order.append(focused())
        assert len(order) < 50, order
    wanted = ["model", "theme", "choose", "camera", "url", "canvas", "zoom-in", "threshold", "save-json", "score", "TR"]
    places = [order.index(name) for name in wanted]
    assert places == sorted(places), order

    # The list: the first row has the focus.
    keyboard.press("ArrowDown")
    assert page["#rows tr.active"].inner_text().split("\t") == cells(above(found, 0.2)[1])
    whole = page.zoom
    keyboard.press("Enter")
    assert page.zoom > whole
    keyboard.press("End")
    assert page["#rows tr.active"].inner_text().split("\t") == cells(above(found, 0.2)[-1])

    page["#canvas"].focus()
    close = page.zoom
    keyboard.press("-")
    assert page.zoom < close
    keyboard.press("+")
    keyboard.press("+")
    before = page.pixels()
    for key, back in (("ArrowRight", "ArrowLeft"), ("ArrowUp", "ArrowDown")):
        keyboard.press(key)
        assert (page.pixels() != before).any(), key
        keyboard.press(back)
        assert np.abs(page.pixels().astype(int) - before).mean() < 1, back
    keyboard.press("0")
    assert page.zoom == whole
    keyboard.press("+")
    assert page.zoom == pytest.approx(whole * 1.5, abs=1)

    page["#threshold"].focus()
    keyboard.press("ArrowRight")
    assert page.score == pytest.approx(0.21)
    assert len(page.rows()) == len(above(found, page.score))


def test_box_and_row_light_up_together(page: DemoPage, image: bytes, found: Any) -> None:
    page.give(image)
    best = found[0]
    page.set_score(int(best["score"] * 100) / 100)  # this one alone, or few
    scale, x, y = page.whole_view(*size_of(image))
    place = page.place()
    left, top, right, bottom = best["bbox"]
    page.tab.mouse.move(place["x"] + 2, place["y"] + 2)
    plain = page.pixels()

    page.tab.mouse.move(place["x"] + x + (left + right) / 2 * scale, place["y"] + y + (top + bottom) / 2 * scale)
    row = page["#rows tr.active"]
    assert row.get_attribute("aria-selected") == "true"
    lit = page.pixels()
    assert (lit != plain).any()

    page.tab.mouse.move(place["x"] + 2, place["y"] + 2)
    row.wait_for(state="detached")
    assert (page.pixels() == plain).all()
    page["#rows tr"].filter(has_text=f"{best['score']:.2f}").first.hover()
    page["#rows tr.active"].wait_for()
    assert (page.pixels() != plain).any()

    whole = page.zoom
    page["#rows tr.active"].click()
    assert page.zoom > whole


def test_what_is_taken_away_is_what_is_shown(page: DemoPage, image: bytes, found: Any) -> None:
    page.give(image, "my street.jpg")
    page.set_score(0.1)
    hidden = found[0]["categoryName"]
    if len({one["categoryName"] for one in above(found, 0.1)}) > 1:
        page[f"#class-list label:has-text('{hidden}')"].first.locator("input").uncheck()
        kept = [one for one in above(found, 0.1) if one["categoryName"] != hidden]
    else:
        kept = above(found, 0.1)

    with page.tab.expect_download() as download:
        page["#save-json"].click()
    assert download.value.suggested_filename == "my street.json"
    document = json.loads(download.value.path().read_text())
    assert (document["errorCode"], document["errorMsg"]) == (0, "Success")
    assert sorted(document["result"]["detectedObjects"], key=lambda one: -one["score"]) == kept

    with page.tab.expect_download() as download:
        page["#save-overlay"].click()
    assert download.value.suggested_filename == "my street-objects.png"
    overlay = read_png(download.value.path().read_bytes())[..., :3]
    assert overlay.shape == decode_image(image).shape
    best = kept[0]
    left, top, right, _ = (round(side) for side in best["bbox"])
    if top > 0:
        assert (overlay[top - 1, left:right] == rgb(best["categoryId"])).all(axis=1).mean() > 0.7


@pytest.mark.parametrize("name", ["street.jpg", "it's 100% a $(street).jpg", "-n.jpg"])
def test_the_copied_command_works(open_page: OpenPage, image: bytes, found: Any, tmp_path: Path, name: str) -> None:
    assert shutil.which("curl"), "curl is not here: apt-get install curl"
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.give(image, name)
    page.set_score(0.15)
    hidden = found[-1]["categoryName"]
    page[f"#class-list label:has-text('{hidden}')"].first.locator("input").uncheck()
    page["#copy-curl"].click()
    page["#status:has-text('Copied')"].wait_for()
    command = page.tab.evaluate("navigator.clipboard.readText()")

    (tmp_path / name).write_bytes(image)
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    objects = json.loads(done.stdout)["result"]["detectedObjects"]
    assert [cells(one) for one in sorted(objects, key=lambda one: -one["score"])] == page.rows()
    assert page.url in command


def test_without_a_clipboard_the_command_is_shown(page: DemoPage, image: bytes) -> None:
    page.tab.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.give(image)
    page["#copy-curl"].click()
    assert "base64 -w0 'street.jpg'" in page["#copy-text"].input_value()


def test_an_address_is_fetched_by_the_server(page: DemoPage, image: bytes, found: Any) -> None:
    url = "https://example.com/some/street.jpg"

    def fetch(route: Route) -> None:  # the guard against private hosts lets the server fetch nothing of ours
        asked = route.request.post_data_json
        route.continue_(post_data=json.dumps({**asked, "image": base64.b64encode(image).decode()}))

    page.tab.route(DETECT, fetch)
    page["#url"].fill(url)
    page["#url"].press("Enter")
    page.wait_for_answer()
    assert page.rows() == [cells(one) for one in above(found, page.score)]
    assert_box_is_drawn(page, found[0], *size_of(image))
    assert page.asked == [
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


def test_a_text_file_is_refused_in_a_sentence(page: DemoPage) -> None:
    page.drop(b"no image at all", "notes.txt", "text/plain")
    problem = page["#problem[role=alert]"]
    problem.wait_for()
    assert "not an image" in problem.inner_text()
    assert "{" not in problem.inner_text()
    assert page["#retry"].is_hidden()
    assert page["#save-json"].is_disabled()
    page["#dismiss"].click()
    assert problem.is_hidden()


def test_misfits_are_told_in_words(page: DemoPage, image: bytes) -> None:
    issues = [{"type": "model_unknown", "loc": "body.model", "msg": "there is no model x; loaded are a, b"}]
    envelope = {"logId": "1", "errorCode": 422, "errorMsg": json.dumps(issues)}
    page.tab.route(DETECT, lambda route: route.fulfill(status=422, json=envelope))
    page.tab.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": image})
    page["#problem"].wait_for()
    assert page["#problem-text"].inner_text() == "Model: there is no model x; loaded are a, b."


@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_can_be_tried_again(page: DemoPage, image: bytes, found: Any, status: int) -> None:
    envelope = {"logId": "1", "errorCode": status, "errorMsg": "Too much at once"}
    page.tab.route(
        DETECT, lambda route: route.fulfill(status=status, json=envelope, headers={"Retry-After": "2"}), times=1
    )
    page.tab.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": image})
    page["#problem"].wait_for()
    assert page["#problem-text"].inner_text() == ("Too much at once. It asks to wait 2 seconds before the next try.")
    page["#retry"].click()
    page.wait_for_answer()
    assert page["#problem"].is_hidden()
    assert page.rows() == [cells(one) for one in above(found, page.score)]


def test_a_server_that_is_gone(page: DemoPage, image: bytes) -> None:
    page.tab.route(DETECT, lambda route: route.abort("connectionrefused"), times=1)
    page.tab.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": image})
    page["#problem"].wait_for()
    assert "cannot be reached" in page["#problem-text"].inner_text()
    page["#retry"].click()
    page.wait_for_answer()


def test_a_key_is_asked_for_kept_and_sent(page: DemoPage, image: bytes) -> None:
    keys: list[str | None] = []

    def guard(route: Route) -> None:
        keys.append(route.request.headers.get("authorization"))
        if keys[-1] == "Bearer s3cret":
            route.fallback()
        else:
            route.fulfill(status=401, json={"logId": "1", "errorCode": 401, "errorMsg": "An API key is needed"})

    for path in (DETECT, "**/models"):
        page.tab.route(path, guard)
    page.tab.reload()
    page["#key-dialog[open]"].wait_for()
    page["#key-value"].fill("wrong")
    page["#key-value"].press("Enter")
    page["#key-text:has-text('does not take this key')"].wait_for()
    page["#key-value"].fill("s3cret")
    page["#key-dialog .primary"].click()
    page["#model:enabled"].wait_for()
    page.give(image)
    assert keys == [None, "Bearer wrong", "Bearer s3cret", "Bearer s3cret"]

    page.tab.reload()  # the tab still knows it
    page["#model:enabled"].wait_for()
    assert keys[-1] == "Bearer s3cret"
    assert page["#key-dialog"].is_hidden()


def hold_next(page: DemoPage) -> list[Route]:
    """The next request stays unanswered, and is put into the list."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.tab.route(DETECT, hold, times=1)
    return held


def test_a_late_answer_is_not_taken_for_the_next_image(page: DemoPage, image: bytes, found: Any) -> None:
    late = hold_next(page)
    page.tab.set_input_files("#file", {"name": "slow.png", "mimeType": "image/png", "buffer": noise()[0]})
    page["#busy"].wait_for()
    page.give(image, "second.jpg")
    assert len(late) == 1
    assert page["#facts"].inner_text().startswith("second.jpg")
    assert page.rows() == [cells(one) for one in above(found, page.score)]


def test_cancel_ends_the_wait(page: DemoPage, image: bytes) -> None:
    hold_next(page)
    page.tab.set_input_files("#file", {"name": "slow.jpg", "mimeType": "image/jpeg", "buffer": image})
    page["#cancel"].click()
    page["#busy"].wait_for(state="hidden")
    assert page["#status"].inner_text() == "No answer."
    assert page["#problem"].is_hidden()


def test_the_model_is_chosen(page: DemoPage, server: Serving, image: bytes) -> None:
    models = server.http.get("/models").json()["result"]["models"]
    assert len(models) == 2
    other = models[1]["name"]
    page.give(image)
    page["#model"].select_option(other)
    page["#busy"].wait_for(state="hidden")
    page.wait_for_answer()
    assert [asked.get("model") for asked in page.asked] == [None, other]
    answer = server.post(image, threshold=FLOOR, visualize=False, model=other).json()["result"]["detectedObjects"]
    page.set_score(FLOOR)
    assert page.rows() == [cells(one) for one in sorted(answer, key=lambda one: -one["score"])]


def test_times_are_broken_down(page: DemoPage, image: bytes) -> None:
    def add_times(route: Route) -> None:
        answer = route.fetch()
        header = "body;dur=1.5, parse;dur=0.5, queue;dur=1, infer;dur=2, total;dur=6.5"
        route.fulfill(response=answer, headers={**answer.headers, "server-timing": header})

    page.tab.route(DETECT, add_times)
    page.give(image)
    text = page["#timing-text"].inner_text()
    assert re.search(r"Network \d.*Queue 1\.0 ms.*Gateway 2\.0 ms.*Triton 2\.0 ms", text, re.DOTALL), text
    assert page["#timing-bar .part"].count() == 4


def test_dark_and_light(open_page: OpenPage) -> None:
    def brightness(page: DemoPage) -> int:
        page["#theme"].wait_for()
        colour = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3])

    dark, light = open_page(color_scheme="dark"), open_page(color_scheme="light")
    assert brightness(dark) < 150
    assert brightness(light) > 650
    light["#theme"].click()
    assert brightness(light) < 150
    assert light["#theme"].get_attribute("aria-pressed") == "true"
    light.tab.reload()
    assert brightness(light) < 150


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_names_and_contrast(open_page: OpenPage, image: bytes, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.give(image)
    page.drop(b"no image", "notes.txt", "text/plain")
    page["#problem"].wait_for()
    page.tab.evaluate("for (const it of document.querySelectorAll('[hidden]')) it.hidden = it.matches('#file, #empty')")

    tree = page.context.new_cdp_session(page.tab).send("Accessibility.getFullAXTree")["nodes"]
    roles = ("application", "button", "checkbox", "combobox", "grid", "group", "link", "slider", "textbox", "Video")
    roles += ("alert", "complementary", "region", "navigation")
    nameless = [
        (node["role"]["value"], node.get("properties"))
        for node in tree
        if not node.get("ignored")
        and node.get("role", {}).get("value") in roles[:-4]
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []

    # WCAG 2 AA: 4.5 to 1 for text.
    poor = page.tab.evaluate(
        """() => {
            const channels = (css) => css.match(/[\\d.]+/g).map(Number);
            const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
                .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
                .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
            const ground = (it) => {
                for (; it; it = it.parentElement) {
                    const colour = channels(getComputedStyle(it).backgroundColor);
                    if (colour.length === 3 || colour[3] === 1) return colour;
                }
                return [255, 255, 255];
            };
            const poor = [];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const it = walker.currentNode.parentElement;
                const text = walker.currentNode.textContent.trim();
                if (!text || !it.checkVisibility() || it.closest(":disabled")) continue;
                const [a, b] = [light(channels(getComputedStyle(it).color)), light(ground(it))];
                const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (contrast < 4.5) poor.push([text, contrast]);
            }
            return poor;
        }"""
    )
    assert poor == []


def test_phone(open_page: OpenPage, image: bytes) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, device_scale_factor=2, is_mobile=True, has_touch=True)

    def overhang() -> int:
        return int(page.tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    assert overhang() == 0
    page.give(image, "a_rather_long_name_without_a_single_space_in_it_0000315_01601.jpg")
    page.set_score(FLOOR)
    assert overhang() == 0
    small = page.tab.evaluate(
        """[...document.querySelectorAll("button, select, input:not([type=checkbox]), #class-list label")]
            .filter((it) => it.checkVisibility() && it.getBoundingClientRect().height < 32).map((it) => it.outerHTML)"""
    )
    assert small == []

    page.tab.evaluate("document.querySelector('#canvas').scrollIntoView({block: 'center'})")
    place = page.place()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    touch = page.context.new_cdp_session(page.tab)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    whole = page.zoom
    fingers("touchStart", (x - 20, y), (x + 20, y))
    for spread in range(20, 101, 10):
        fingers("touchMove", (x - spread, y), (x + spread, y))
    fingers("touchEnd")
    assert page.zoom == pytest.approx(whole * 5, rel=0.1)
    before = page.pixels()
    fingers("touchStart", (x, y))
    for step in range(0, 61, 10):
        fingers("touchMove", (x + step, y))
    fingers("touchEnd")
    assert (page.pixels() != before).any()
    assert page.tab.evaluate("visualViewport.scale") == 1


def test_camera(page: DemoPage) -> None:
    page["#camera"].click()
    page["#shoot"].click()
    page.wait_for_answer()
    assert re.fullmatch(rf"camera\.jpg · \d+ {TIMES} \d+ px", page["#facts"].inner_text())
    assert page["#camera-bar"].is_hidden()

    page["#camera"].click()
    page["#continuous"].click()
    page["#rate:has-text('a second')"].wait_for()
    asked = len(page.asked)
    while len(page.asked) < asked + 3:
        page.tab.wait_for_event("request", lambda request: request.method == "POST")
    assert page["#continuous"].get_attribute("aria-pressed") == "true"
    assert page["#video"].is_hidden()
    page["#camera-stop"].click()
    assert page["#camera-bar"].is_hidden()
    page.wait_for_answer()


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


def test_the_documentation_needs_no_other_host(open_page: OpenPage) -> None:
    page = open_page("/docs")
    page["#operations-detection-infer"].wait_for()
    page["#operations-detection-infer .opblock-summary-control"].click()
    page[
        "#operations-detection-infer .body-param__text, #operations-detection-infer .body-param__example"
    ].first.wait_for()
    page["#operations-detection-infer .responses-table .example"].first.wait_for()

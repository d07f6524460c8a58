"""Zoom, minimap, keyboard and pointer."""

from typing import Any

import cv2
import numpy as np
import pytest

from tests.e2e.page.browser import DemoPage, OpenPage
from tests.e2e.page.expected import above, cells, half_up, noise, size_of


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


@pytest.mark.parametrize(("keys", "steps"), [("+++", 3), ("++-", 1), ("+-", 0), ("+++--", 1)])
def test_quick_zoom_keys_add_up(open_page: OpenPage, keys: str, steps: int) -> None:
    page = open_page(reduced_motion="no-preference")  # with animations, which the next key interrupts
    page.give(noise()[0], "noise.png")
    whole = page.zoom
    page["#canvas"].focus()
    for key in keys:
        page.tab.keyboard.press(key)
    page.tab.wait_for_timeout(600)
    assert page.zoom == pytest.approx(whole * 1.5**steps, rel=0.005)
    page.tab.keyboard.press("+")
    page.tab.keyboard.press("ArrowRight")
    page.tab.wait_for_timeout(600)
    assert page.zoom == pytest.approx(whole * 1.5 ** (steps + 1), rel=0.005), "panning ends the zoom"


def test_a_click_on_the_minimap_shows_its_point(page: DemoPage) -> None:
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
        assert outline != "none", f"the focus on {name} is invisible"
        return str(name)

    page["h1"].click()  # the tab key goes on from there
    order: list[str] = []
    while "TR" not in order:
        keyboard.press("Tab")
        order.append(focused())
        assert len(order) < 50, order
    wanted = [
        "model",
        "theme",
        "choose",
        "camera",
        "url",
        "canvas",
        "zoom-in",
        "threshold",
        "save-format",
        "save",
        "score",
        "TR",
    ]
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


def test_box_and_row_are_highlighted_together(page: DemoPage, image: bytes, found: Any) -> None:
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

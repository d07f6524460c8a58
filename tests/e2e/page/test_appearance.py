"""Themes, contrast, accessible names, small screens, and the API documentation."""

import re

import pytest

from tests.e2e.page.browser import DemoPage, OpenPage
from tests.e2e.page.expected import FLOOR


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


CUT = """() => {
    const seen = (it) => it.checkVisibility() && !it.closest("#canvas-help");
    const problems = [];
    const all = "button, select, label, p, th, td, legend, output, #class-list, #list, #thumbs";
    for (const it of document.querySelectorAll(all)) {
        if (!seen(it)) continue;
        const name = it.id || it.outerHTML;
        const rect = it.getBoundingClientRect();
        const [width, height] = [it.scrollWidth - it.clientWidth, it.scrollHeight - it.clientHeight];
        const inList = it.matches("#list") || it.closest("td");
        if (it.clientWidth && (width > 1 || (height > 1 && !inList))) problems.push([name, width, height]);
        const box = it.closest("#list, #thumbs, #stage, aside, header, main").getBoundingClientRect();
        const beside = rect.right > box.right + 1 || rect.left < box.left - 1;
        if (beside || rect.right > innerWidth || rect.left < 0) problems.push([name, rect.left, rect.right]);
    }
    if (document.documentElement.scrollWidth > innerWidth) problems.push("the page is wider than the window");
    return problems;
}"""


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("size", [(1440, 900), (1280, 720), (390, 844)])
def test_nothing_is_cut(open_page: OpenPage, image: bytes, locale: str, size: tuple[int, int]) -> None:
    page = open_page(viewport={"width": size[0], "height": size[1]}, locale=locale)
    assert page.tab.evaluate(CUT) == []
    page.choose({"a.jpg": image, "b.jpg": image, "notes.txt": b"no image"})
    page["#problem"].wait_for()
    page.wait_for_response()
    page.wait_for_all()
    page.set_score(FLOOR)
    assert page.tab.evaluate(CUT) == []
    if size[0] == 1440:
        assert page.tab.evaluate("document.documentElement.scrollHeight") == size[1]


def test_the_documentation_needs_no_other_host(open_page: OpenPage) -> None:
    page = open_page("/docs")
    page["#operations-detection-infer"].wait_for()
    page["#operations-detection-infer .opblock-summary-control"].click()
    page[
        "#operations-detection-infer .body-param__text, #operations-detection-infer .body-param__example"
    ].first.wait_for()
    page["#operations-detection-infer .responses-table .example"].first.wait_for()

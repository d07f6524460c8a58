"""What the page shows of a response, and how it is downloaded or copied."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Route
from sod_client._results.convert import to_yolo
from sod_client.result import Box, Result

from sod.image import decode_image
from tests.e2e.page.browser import DETECT, DemoPage, OpenPage, read_png
from tests.e2e.page.expected import FLOOR, TIMES, above, assert_box_is_drawn, cells, rgb, size_of


def test_a_dropped_image_shows_the_objects_of_the_api(page: DemoPage, image: bytes, found: Any) -> None:
    page.drop(image, "street.jpg", "image/jpeg")
    page.wait_for_response()

    shown = above(found, page.score)
    assert shown
    assert page.rows() == [cells(one) for one in shown]
    width, height = size_of(image)
    assert page["#facts"].inner_text() == f"street.jpg · {width} {TIMES} {height} px"
    assert_box_is_drawn(page, found[0], width, height)
    (body,) = page.requests
    assert body == {"image": base64.b64encode(image).decode(), "threshold": FLOOR, "visualize": False}


def test_filters_send_no_request(page: DemoPage, image: bytes, found: Any) -> None:
    page.give(image)
    for score in (0.05, 0.1, 0.2, 0.3, 0.6):
        page.set_score(score)
        expected = above(found, score)
        assert len(page.rows()) == len(expected)
        below = len(found) - len(expected)
        shown, total, *left_out = page["#status"].inner_text().splitlines()
        assert shown == f"{len(expected)} objects shown."
        assert re.fullmatch(rf"PP-YOLOE_plus_SOD-\w+ found {len(found)} with a score above 0.05[^.]*\.", total), total
        assert ("the most that a response holds" in total) == (len(found) == 500)
        assert left_out == ([f"Not shown: {below} with a score of {score:.2f} or less."] if below else [])

    page.set_score(FLOOR)
    before = page.pixels()
    one = found[0]["categoryName"]
    label = page[f"#class-list label:has-text('{one}')"].first
    assert int(label.locator("b").inner_text()) == sum(other["categoryName"] == one for other in found)
    label.locator("input").uncheck()
    left = [other for other in found if other["categoryName"] != one]
    assert page.rows() == [cells(other) for other in left]
    assert f"{len(found) - len(left)} in classes that are switched off" in page["#status"].inner_text()
    assert (page.pixels() != before).any()

    page["#classes-none"].click()
    assert page.rows() == []
    page["#classes-all"].click()
    assert len(page.rows()) == len(found)
    assert (page.pixels() == before).all()
    assert len(page.requests) == 1


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


def test_downloads_contain_what_is_shown(page: DemoPage, image: bytes, found: Any) -> None:
    page.give(image, "my street.jpg")
    page.set_score(0.1)
    hidden = found[0]["categoryName"]
    if len({one["categoryName"] for one in above(found, 0.1)}) > 1:
        page[f"#class-list label:has-text('{hidden}')"].first.locator("input").uncheck()
        kept = [one for one in above(found, 0.1) if one["categoryName"] != hidden]
    else:
        kept = above(found, 0.1)

    with page.tab.expect_download() as download:
        page["#save"].click()
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


def test_the_file_formats_are_those_of_the_sdk(page: DemoPage, image: bytes, found: Any) -> None:
    name = 'street, "north" 7.jpg'
    page.give(image, name)
    page.set_score(0.1)
    width, height = size_of(image)
    detected = json.loads(saved(page, "json", 'street, "north" 7.json'))["result"]["detectedObjects"]
    assert len(detected) == len(above(found, 0.1)) > 1
    boxes = [
        Box(cls_id=one["categoryId"], label=one["categoryName"], score=one["score"], coordinate=one["bbox"])
        for one in detected
    ]
    result = Result(name, boxes)

    rows, expected = (
        list(csv.reader(io.StringIO(text))) for text in (saved(page, "csv", 'street, "north" 7.csv'), result.to_csv())
    )
    assert rows[0] == expected[0]
    for row, other in zip(rows[1:], expected[1:], strict=True):
        assert (row[:4], [float(cell) for cell in row[4:]]) == (other[:4], [float(cell) for cell in other[4:]])
    coco = json.loads(saved(page, "coco", 'street, "north" 7_coco.json'))
    assert coco == result.to_coco('street, "north" 7')
    yolo = saved(page, "yolo", 'street, "north" 7.txt').split()
    assert [float(word) for word in yolo] == pytest.approx(
        [float(word) for word in to_yolo(boxes, width, height, scores=False).split()], abs=1.1e-6
    )

    page.give(image, "0042.jpg")
    page.set_score(0.1)
    assert {one["image_id"] for one in json.loads(saved(page, "coco", "0042_coco.json"))} == {42}


def saved(page: DemoPage, file_format: str, name: str) -> str:
    """The text of the file that the page saves in a format."""
    page["#save-format"].select_option(file_format)
    with page.tab.expect_download() as download:
        page["#save"].click()
    # Chromium replaces characters that file systems do not take.
    assert download.value.suggested_filename == name.replace('"', "_")
    return download.value.path().read_text("utf-8")


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

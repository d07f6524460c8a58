"""Refused images, failing servers, API keys and cancelled requests."""

import json
from typing import Any

import pytest
from playwright.sync_api import Route

from tests.e2e.page.browser import DETECT, DemoPage
from tests.e2e.page.expected import above, cells, noise


def test_a_text_file_is_refused_in_a_sentence(page: DemoPage) -> None:
    page.drop(b"no image at all", "notes.txt", "text/plain")
    problem = page["#problem[role=alert]"]
    problem.wait_for()
    assert problem.inner_text().startswith("notes.txt: ")
    assert "not an image" in problem.inner_text()
    assert "{" not in problem.inner_text()
    assert page["#retry"].is_hidden()
    assert page["#save"].is_disabled()
    page["#dismiss"].click()
    assert problem.is_hidden()


def test_validation_errors_are_shown_in_words(page: DemoPage, image: bytes) -> None:
    issues = [{"type": "model_unknown", "loc": "body.model", "msg": "there is no model x; loaded are a, b"}]
    envelope = {"logId": "1", "errorCode": 422, "errorMsg": json.dumps(issues)}
    page.tab.route(DETECT, lambda route: route.fulfill(status=422, json=envelope))
    page.tab.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": image})
    page["#problem"].wait_for()
    assert page["#problem-text"].inner_text() == "a.jpg: Model: there is no model x; loaded are a, b."


@pytest.mark.parametrize("status", [429, 503])
def test_a_temporary_failure_can_be_retried(page: DemoPage, image: bytes, found: Any, status: int) -> None:
    envelope = {"logId": "1", "errorCode": status, "errorMsg": "Too much at once"}
    page.tab.route(
        DETECT, lambda route: route.fulfill(status=status, json=envelope, headers={"Retry-After": "2"}), times=1
    )
    page.tab.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": image})
    page["#problem"].wait_for()
    assert page["#problem-text"].inner_text() == ("Too much at once. It asks to wait 2 seconds before the next try.")
    page["#retry"].click()
    page.wait_for_response()
    assert page["#problem"].is_hidden()
    assert page.rows() == [cells(one) for one in above(found, page.score)]


def test_a_server_that_is_gone(page: DemoPage, image: bytes) -> None:
    page.tab.route(DETECT, lambda route: route.abort("connectionrefused"), times=1)
    page.tab.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": image})
    page["#problem"].wait_for()
    assert "cannot be reached" in page["#problem-text"].inner_text()
    page["#retry"].click()
    page.wait_for_response()


def test_a_key_is_requested_kept_and_sent(page: DemoPage, image: bytes) -> None:
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
    page["#key-text:has-text('does not accept this key')"].wait_for()
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
    """Leave the next request unanswered, and put it into the returned list."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.tab.route(DETECT, hold, times=1)
    return held


def test_a_late_response_is_not_shown_for_the_next_image(page: DemoPage, image: bytes, found: Any) -> None:
    late = hold_next(page)
    page.tab.set_input_files("#file", {"name": "slow.png", "mimeType": "image/png", "buffer": noise()[0]})
    page["#busy"].wait_for()
    page.give(image, "second.jpg")
    assert len(late) == 1
    for busy in (1, 0):
        assert page["#thumbs .waiting"].count() == busy
        assert page["#facts"].inner_text().startswith("second.jpg")
        assert page.rows() == [cells(one) for one in above(found, page.score)]
        if busy:
            late[0].continue_()
            page.wait_for_all()
    page["#thumbs .thumb"].first.click()
    page["#facts:has-text('slow.png')"].wait_for()


def test_cancel_ends_the_wait(page: DemoPage, image: bytes) -> None:
    hold_next(page)
    page.tab.set_input_files("#file", {"name": "slow.jpg", "mimeType": "image/jpeg", "buffer": image})
    page["#cancel"].click()
    page["#busy"].wait_for(state="hidden")
    assert page["#status"].inner_text() == "No image yet."
    assert page["#thumbs li"].count() == 0
    assert page["#problem"].is_hidden()

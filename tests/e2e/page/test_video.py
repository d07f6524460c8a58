"""A video file on the page: live boxes at the server's rate, dropped frames, and what is not a video."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from sod.image import decode_image
from tests.clients.streams.conftest import write_video
from tests.e2e.page.browser import DemoPage
from tests.e2e.page.expected import FLOOR

FRAMES = 50  # 2 s
SIZE = (640, 384)


@pytest.fixture(scope="module")
def video(image: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A window that moves over an image, as MP4 of H.264."""
    pixels = decode_image(image)[..., ::-1]
    scale = max((SIZE[0] + FRAMES) / pixels.shape[1], SIZE[1] / pixels.shape[0])
    wide = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frames = [np.ascontiguousarray(wide[: SIZE[1], k : k + SIZE[0]]) for k in range(FRAMES)]
    path: Path = write_video(tmp_path_factory.mktemp("page") / "street.mp4", frames)
    return path.read_bytes()


def wait_for_end(page: DemoPage) -> None:
    page["#continuous[aria-pressed=true]"].wait_for()
    page["#continuous[aria-pressed=false]"].wait_for()


def test_a_video_plays_with_boxes(page: DemoPage, video: bytes) -> None:
    page.choose({"street.mp4": video})
    wait_for_end(page)
    rate = re.fullmatch(r"(\d+\.\d) images a second, (\d+) frames? dropped", page["#rate"].inner_text())
    assert rate is not None, page["#rate"].inner_text()
    sent, dropped = len(page.requests), int(rate[2])
    assert 2 <= sent < FRAMES
    assert dropped > 0
    assert FRAMES - 10 <= sent + dropped <= FRAMES + 10
    assert all(body["threshold"] == FLOOR and body["visualize"] is False for body in page.requests)
    assert page["#video"].is_hidden()
    assert page["#facts"].inner_text().startswith("street-")  # the last frame stays, with its objects
    assert len(page.rows()) > 3
    assert page["#strip"].is_hidden()

    page["#language"].click()
    assert re.fullmatch(f"每秒 {rate[1]} 帧.丢弃 {dropped} 帧", page["#rate"].inner_text())
    page["#language"].click()
    page["#continuous"].click()  # once more from the beginning
    page["#continuous[aria-pressed=true]"].wait_for()
    page["#camera-stop:text-is('Close video')"].click()
    assert page["#camera-bar"].is_hidden()
    page.wait_for_response()


def test_a_frame_of_a_video_or_another_image_ends_it(page: DemoPage, video: bytes, image: bytes) -> None:
    page.choose({"street.mp4": video})
    page["#rate:has-text('dropped')"].wait_for()
    page.choose({"street.jpg": image})
    page["#camera-bar"].wait_for(state="hidden")
    page["#facts:has-text('street.jpg')"].wait_for()

    page.drop(video, "street.mp4", "video/mp4")
    page["#rate:has-text('dropped')"].wait_for()
    page["#shoot"].click()
    page["#camera-bar"].wait_for(state="hidden")
    page.wait_for_all()
    page["#thumbs li >> nth=1"].wait_for()
    page.wait_for_response()
    assert re.match(r"street-\d\.\d\ds\.jpg", page["#facts"].inner_text())


def test_what_the_browser_cannot_play_is_said(page: DemoPage, video: bytes, image: bytes) -> None:
    page.choose({"broken.mp4": b"\x00" * 500})
    page["#problem"].wait_for()
    assert page["#problem-text"].inner_text() == (
        "broken.mp4 is not a video that this browser plays: most play MP4 with H.264, and WebM. sod watch reads others."
    )
    assert page["#camera-bar"].is_hidden()
    assert page.requests == []
    page.choose({"street.mp4": video, "street.jpg": image})
    page["#problem"].wait_for()
    assert page["#problem-text"].inner_text() == "A video is played alone: of the files only street.mp4 was taken."
    page["#camera-stop"].click()

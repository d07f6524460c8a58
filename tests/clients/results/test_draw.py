"""Drawing without a server: the colours of classes, frames and labels."""

import numpy as np
import pytest
from PIL import Image
from sod_client import Box
from sod_client._results.draw import draw
from sod_client._results.palette import class_colour, text_colour

from sod.detections import Detections
from sod.drawing import palette
from sod.drawing.overlay import draw_detections

GREY = (120, 120, 120)


def plain(width: int = 320, height: int = 240) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def car(class_id: int = 3) -> Box:
    return Box(cls_id=class_id, label="car", score=0.9, coordinate=[100.0, 100.0, 140.0, 130.0])


@pytest.mark.parametrize("class_id", [*range(100), 511, 10_000, -1])
def test_the_server_and_the_client_have_the_same_colours(class_id: int) -> None:
    blue, green, red = palette.class_colour(class_id)
    assert class_colour(class_id) == (red, green, blue)
    assert text_colour((red, green, blue)) == palette.text_colour((blue, green, red))


@pytest.mark.parametrize("class_id", range(100))
def test_the_server_and_the_client_draw_frames_in_the_same_colour(class_id: int) -> None:
    box = car(class_id)
    detections = Detections(
        np.array([box["coordinate"]], np.float32), np.array([0.9], np.float32), np.array([class_id], np.int32)
    )
    by_server = draw_detections(np.asarray(plain())[..., ::-1], detections, [])[..., ::-1]
    by_client = np.asarray(draw(plain(), [box]))
    left, top, _, bottom = map(int, box["coordinate"])
    beside = left - 1, (top + bottom) // 2  # just outside of the object
    assert by_client[beside[::-1]].tolist() == by_server[beside[::-1]].tolist()


def test_a_frame_surrounds_its_object_and_has_a_label() -> None:
    image, box = plain(), car()
    left, top, right, bottom = map(int, box["coordinate"])
    drawn = draw(image, [box])
    assert image.getcolors() == [(image.width * image.height, GREY)], "the source was changed"
    assert drawn.crop((left, top, right, bottom)).getcolors() == [((right - left) * (bottom - top), GREY)]
    frame = [
        drawn.getpixel((x, y)) for x, y in ((left - 1, top), (right + 1, top), (left, top - 1), (left, bottom + 1))
    ]
    assert frame == [class_colour(3)] * 4
    drawn_outside = {colour for _, colour in drawn.getcolors(100_000) or []} - {GREY, class_colour(3)}
    assert drawn_outside, "there is no label"


def test_the_object_with_the_best_score_gets_the_label() -> None:
    worse = Box(cls_id=4, label="van", score=0.2, coordinate=car()["coordinate"])
    alone = draw(plain(), [car()])
    both = draw(plain(), [worse, car()])
    label = (100, 80, 140, 99)
    assert both.crop(label).tobytes() == alone.crop(label).tobytes()


@pytest.mark.parametrize(
    "box",
    [
        Box(cls_id=900, label="行人", score=0.1, coordinate=[-50.0, -50.0, 900.0, 900.0]),
        Box(cls_id=0, label="", score=0.1, coordinate=[9.0, 9.0, 9.0, 9.0]),
        Box(cls_id=0, label="wrong way", score=0.1, coordinate=[30.0, 30.0, 10.0, 10.0]),
    ],
)
def test_odd_boxes_are_drawn(box: Box) -> None:
    assert draw(plain(), [box, box]).size == plain().size
    assert draw(plain(1, 1), [box]).size == (1, 1)


def test_thousands_of_labels_cover_no_box_and_no_other_label() -> None:
    """Each box is compared with those near it: all pairs of 3,000 would take half a minute."""
    places = [(x, y) for y in range(0, 2000, 40) for x in range(0, 2400, 40)]
    boxes = [
        Box(cls_id=0, label="car", score=0.5, coordinate=[x + 4.0, y + 4.0, x + 16.0, y + 16.0]) for x, y in places
    ]
    assert len(boxes) == 3000
    crowded = draw(Image.new("RGB", (2400, 2000)), boxes)
    inside = [crowded.crop((x + 4, y + 4, x + 16, y + 16)).getcolors() for x, y in places]
    assert all(colours == [(144, (0, 0, 0))] for colours in inside), "a label covers an object"

"""Text in many scripts: which font draws it, and what happens without Noto Sans CJK."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageFont

from sod.detections import Detections
from sod.drawing import fonts
from sod.drawing.fonts import Face, can_draw, face_of, is_wide, text_mask
from sod.drawing.overlay import draw_detections
from tests.sod.drawing.scenes import clear_caches

needs_wide_font = pytest.mark.skipif(fonts.wide_font() is None, reason="the package noto-cjk-sans-otc is not installed")


@pytest.fixture
def without_wide_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    clear_caches()
    monkeypatch.setattr(fonts, "wide_font", lambda: None)
    yield
    clear_caches()


def image() -> NDArray[np.uint8]:
    return np.full((200, 300, 3), 90, np.uint8)


def drawn(*labels: str) -> NDArray[np.uint8]:
    """One box per label, far apart."""
    boxes = np.array([[20, 30 + 50 * i, 32, 40 + 50 * i] for i in range(len(labels))], np.float32)
    scores, class_ids = np.full(len(labels), 0.5, np.float32), np.arange(len(labels), dtype=np.int32)
    return draw_detections(image(), Detections(boxes, scores, class_ids), labels)


@needs_wide_font
@pytest.mark.parametrize(
    "label", ["行人", "遮阳棚三轮车", "機車", "歩行者", "보행자", "Пешеход", "người đi bộ", "café", "car 汽车"]
)
def test_a_label_of_another_script_is_drawn(label: str) -> None:
    assert can_draw(label)
    assert is_wide(label)
    assert (drawn(label) != drawn("0")).any()


@needs_wide_font
def test_characters_differ_from_each_other_and_from_no_character() -> None:
    masks = [text_mask(character, 12, wide=True) for character in "行人汽车三轮公交棚遮摩托自"]
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    assert all(mask.max() > 200 for mask in masks)
    missing = text_mask("\U0010ffff", 12, wide=True).tobytes()
    assert missing not in {mask.tobytes() for mask in masks}


@needs_wide_font
@pytest.mark.parametrize("size", range(12, 25))
def test_no_character_is_cut_off(size: int) -> None:
    """Every row that Pillow fills without a limit on the height is in the mask."""
    path = fonts.wide_font()
    assert path is not None
    noto = ImageFont.truetype(path, size, index=2, layout_engine=ImageFont.Layout.BASIC)
    plain = ImageFont.load_default(size)
    for text, font in (("国棚遮阳三轮车", noto), ("보행자", noto), ("Пешеход Éộ", noto), ("gjpqy|", plain)):
        mask = text_mask(text, size, wide=True)
        _, top, _, bottom = font.getbbox(text, anchor="ls")
        assert mask.shape[0] >= bottom - top
        assert mask.any(axis=1).sum() >= bottom - top - 1


@needs_wide_font
def test_a_score_keeps_the_font_of_latin_labels() -> None:
    score = text_mask(" 0.82", 12, wide=True)
    mixed, alone = text_mask("行人 0.82", 12, wide=True), text_mask("行人", 12, wide=True)
    assert (mixed[:, -score.shape[1] :] == score).all()
    assert (mixed[:, : alone.shape[1]] == alone).all()


@needs_wide_font
def test_all_lines_of_an_image_have_the_same_height() -> None:
    heights = {text_mask(text, 12, wide=True).shape[0] for text in ("car 0.5", "行人 0.5", "Пешеход", "", "ộ")}
    assert len(heights) == 1
    assert text_mask("car 0.5", 12).shape[0] < heights.pop()


@needs_wide_font
def test_the_wide_font_does_not_change_latin_labels() -> None:
    with_font = drawn("car", "bus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fonts, "wide_font", lambda: None)
        clear_caches()
        assert (drawn("car", "bus") == with_font).all()
    clear_caches()


@pytest.mark.usefixtures("without_wide_font")
@pytest.mark.parametrize("label", ["行人", "Пешеход", "café"])
def test_without_the_wide_font_the_class_id_is_drawn(label: str) -> None:
    assert not can_draw(label)
    assert (drawn(label, "car") == drawn("0", "car")).all()


def test_a_word_never_mixes_fonts() -> None:
    assert face_of("car") is Face.PLAIN
    assert face_of("") is Face.PLAIN
    assert face_of("🚗") is None
    assert face_of("car🚗") is None
    assert not can_draw("car 🚗")
    assert can_draw("")


def test_empty_text_and_spaces_give_a_mask_of_the_same_height() -> None:
    for text in ("", " ", "  a  "):
        assert text_mask(text, 10).shape[0] == text_mask("car", 10).shape[0]

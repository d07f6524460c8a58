"""Labels of any script: what is drawn, where each font ends, and what happens without the second one."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from sod import draw, fonts
from sod.detections import Detections
from sod.draw import draw_detections
from sod.fonts import Face, can_draw, face_of, is_wide, text_mask

needs_wide_font = pytest.mark.skipif(fonts.wide_font() is None, reason="the package noto-cjk-sans-otc is not installed")
CACHES = (draw._tag, fonts.text_mask, fonts._word, fonts._line, fonts.face_of, fonts._has_glyph, fonts._load)


@pytest.fixture
def without_wide_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for cache in CACHES:
        cache.cache_clear()
    monkeypatch.setattr(fonts, "wide_font", lambda: None)
    yield
    for cache in CACHES:
        cache.cache_clear()


def image() -> NDArray[np.uint8]:
    return np.full((200, 300, 3), 90, np.uint8)


def drawn(*labels: str) -> NDArray[np.uint8]:
    """A box a label, far apart."""
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
    """The line with room to spare shows the same ink."""
    for text in ("国棚遮阳三轮车", "보행자", "Пешеход Éộ", "gjpqy|"):
        mask = text_mask(text, size, wide=True)
        face = face_of(text.split()[0])
        assert face is not None
        _, top, _, bottom = fonts._load(face, size).getbbox(text, anchor="ls")
        assert mask.shape[0] >= bottom - top
        assert mask.any(axis=1).sum() >= bottom - top - 1


@needs_wide_font
def test_a_score_keeps_the_font_of_latin_labels() -> None:
    score = text_mask(" 0.82", 12, wide=True)
    mixed, alone = text_mask("行人 0.82", 12, wide=True), text_mask("行人", 12, wide=True)
    assert (mixed[:, -score.shape[1] :] == score).all()
    assert (mixed[:, : alone.shape[1]] == alone).all()


@needs_wide_font
def test_all_lines_of_an_image_are_of_one_height() -> None:
    heights = {text_mask(text, 12, wide=True).shape[0] for text in ("car 0.5", "行人 0.5", "Пешеход", "", "ộ")}
    assert heights == {15}
    assert text_mask("car 0.5", 12).shape[0] == 12


@needs_wide_font
def test_an_image_of_latin_labels_is_not_changed_by_the_other_font() -> None:
    with_font = drawn("car", "bus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fonts, "wide_font", lambda: None)
        for cache in CACHES:
            cache.cache_clear()
        assert (drawn("car", "bus") == with_font).all()
    for cache in CACHES:
        cache.cache_clear()


@pytest.mark.usefixtures("without_wide_font")
@pytest.mark.parametrize("label", ["行人", "Пешеход", "café"])
def test_without_the_font_the_class_id_stands_in(label: str) -> None:
    assert not can_draw(label)
    assert (drawn(label, "car") == drawn("0", "car")).all()


def test_a_word_is_never_put_together_from_two_fonts() -> None:
    assert face_of("car") is Face.PLAIN
    assert face_of("") is Face.PLAIN
    assert face_of("🚗") is None
    assert face_of("car🚗") is None
    assert not can_draw("car 🚗")
    assert can_draw("")


def test_the_mask_of_nothing_and_of_spaces_is_a_mask() -> None:
    for text in ("", " ", "  a  "):
        assert text_mask(text, 10).shape[0] == text_mask("car", 10).shape[0]

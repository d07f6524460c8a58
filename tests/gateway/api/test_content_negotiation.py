"""Which response an `Accept` header means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.content_negotiation import accepted_format
from gateway.errors import NotAcceptableError
from sod.encode import FORMATS, ImageFormat


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", None),
        ("*/*", None),
        ("application/json", None),
        ("application/json, text/plain, */*", None),  # axios
        ("application/*", None),
        ("image/jpeg", "jpeg"),
        ("image/jpg", "jpeg"),
        ("IMAGE/PNG", "png"),
        ("image/webp", "webp"),
        ("image/*", "jpeg"),
        ("image/*;q=0.5", "jpeg"),
        ("image/png, image/*", "png"),
        ("image/avif, image/webp, */*;q=0.8", "webp"),
        ("image/jpeg;q=0.5, image/png", "png"),
        ("image/jpeg; q=0.5 , image/png;Q=0.4", "jpeg"),
        ("image/jpeg, application/json", None),
        ("image/jpeg, application/json;q=0.9", "jpeg"),
        ("image/jpeg;q=0.9, application/json", None),
        ("image/jpeg, */*", "jpeg"),  # named, where everything would do
        ("image/jpeg;q=0.9, */*", None),
        ("image/*;q=0.9, image/jpeg;q=0", "png"),
        ("image/png;level=1", "png"),
        # What fits nothing is JSON, as PaddleX has it.
        ("text/plain", None),
        ("text/html, application/xml", None),
        ("application/json;q=0", None),
        ("image/jpeg;q=0", None),
        ("image/jpeg;q=high", None),
        ("image/jpeg;q=nan", None),
        ("image/jpeg;q=7", None),
        ("image", None),
        ("/", None),
        (",;,;=", None),
    ],
)
def test_the_best_that_is_accepted(accept: str, expected: ImageFormat | None) -> None:
    assert accepted_format(accept, FORMATS) == expected


@pytest.mark.parametrize("accept", ["image/gif", "image/gif, text/html", "image/svg+xml;q=0.1"])
def test_only_images_that_cannot_be_had(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match=r"image/(gif|svg).* application/json or image/jpeg or image/png"):
        accepted_format(accept, FORMATS)


def test_fewer_formats_than_there_are() -> None:
    assert accepted_format("image/*, image/jpeg;q=0.9", ("webp",)) == "webp"
    assert accepted_format("image/png, */*;q=0.1", ("webp",)) is None
    with pytest.raises(NotAcceptableError, match="or image/webp, because of it"):
        accepted_format("image/png", ("webp",), "because of it")
    with pytest.raises(NotAcceptableError, match="available as application/json, because"):
        accepted_format("image/*", (), "because of it")


@given(st.text(st.sampled_from("image/jpegn*,;q=0.5 éA")) | st.text())
def test_any_header_is_an_answer_or_refused(accept: str) -> None:
    try:
        assert accepted_format(accept, FORMATS) in (None, *FORMATS)
    except NotAcceptableError:
        assert "image/" in accept.lower()

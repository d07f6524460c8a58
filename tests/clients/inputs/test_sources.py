"""The inputs that `predict` accepts, and the errors for all others."""

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sod_client import (
    DependencyError,
    EncryptedPDFError,
    InvalidArrayError,
    InvalidInputError,
    MissingFileError,
    NoImagesError,
    Pipeline,
    UnreadableFileError,
    UnreadablePDFError,
    create_pipeline,
)
from sod_client._inputs.fetch import Fetcher
from sod_client._inputs.pdf import render_page

from tests.clients.conftest import FakeServer, jpeg, pdf


@pytest.fixture
def pipeline(server: Any) -> Iterator[Pipeline]:
    with create_pipeline(url=server.url) as made:
        yield made


def pixels(image: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(image)) as opened:
        return np.array(opened.convert("RGB"))


def frames(*greys: int) -> bytes:
    """A TIFF of so many frames."""
    first, *others = (Image.new("RGB", (8, 6), (grey,) * 3) for grey in greys)
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    return buffer.getvalue()


# Arrays


def test_an_array_is_sent_without_loss(pipeline: Pipeline, server: FakeServer) -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)
    (result,) = pipeline.predict(bgr)
    (sent,) = server.images()
    assert np.array_equal(pixels(sent)[..., ::-1], bgr)
    assert (result.input_path, result.page_index) == (None, None)


def test_a_view_is_sent_as_it_looks(pipeline: Pipeline, server: FakeServer) -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)[::2, ::-1]
    next(pipeline.predict([bgr]))
    assert np.array_equal(pixels(server.images()[0])[..., ::-1], bgr)


def test_an_array_may_be_written_again_once_it_was_taken(server: FakeServer) -> None:
    def camera() -> Iterator[Any]:
        frame = np.empty((6, 8, 3), np.uint8)
        for number in range(20):
            frame[:] = number
            yield frame

    with create_pipeline(url=server.url, max_in_flight=1) as pipeline:
        assert len(list(pipeline.predict(camera()))) == 20
    # Two are encoded at once, and either may be sent first.
    assert sorted(int(pixels(sent)[0, 0, 0]) for sent in server.images()) == list(range(20))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3), np.int64), r"not int64 \[4, 4, 3\]"),
        (np.zeros((4, 4, 2), np.uint8), r"not uint8 \[4, 4, 2\]"),
        (np.zeros((4,), np.uint8), r"not uint8 \[4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"not uint8 \[0, 4, 3\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), "as a list"),
    ],
)
def test_an_array_of_a_wrong_kind(pipeline: Pipeline, server: FakeServer, array: Any, message: str) -> None:
    with pytest.raises(InvalidArrayError, match=rf"input\[0\]: .*array of an image must be.*{message}"):
        next(pipeline.predict(array))
    assert not server.requests


# Folders


def test_a_folder_gives_what_is_in_it_and_below_by_name(pipeline: Pipeline, tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/c.webp", "sub/deep/d.bmp", "notes.txt", "none"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    found = [result.input_path for result in pipeline.predict(str(tmp_path))]
    expected = sorted(str(tmp_path / name) for name in ("b.JPG", "a.png", "sub/c.webp", "sub/deep/d.bmp"))
    assert found == expected


def test_a_relative_folder_keeps_its_name(pipeline: Pipeline, street: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(street.parent)
    assert [result.input_path for result in pipeline.predict("./")] == ["./street.jpg"]


def test_a_folder_without_images(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(NoImagesError, match=f"{tmp_path}: this folder and its subfolders contain no image and no PDF"):
        list(pipeline.predict(tmp_path))


# PDFs and TIFFs


def test_every_page_of_a_pdf_is_an_image(pipeline: Pipeline, server: FakeServer, tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    (tmp_path / "scan.PDF").write_bytes(pdf(3))
    results = list(pipeline.predict(tmp_path))
    assert [(result.input_path, result.page_index) for result in results] == [
        (str(tmp_path / "scan.PDF"), page) for page in range(3)
    ]
    # PaddleX's scale is 2: 100 x 60 points become 200 x 120 pixels.
    images = {pixels(sent)[0, 0, 0]: pixels(sent).shape for sent in server.images()}
    assert images == {26: (120, 200, 3), 51: (120, 200, 3), 77: (120, 200, 3)}


def test_a_page_that_would_be_too_large_is_rendered_smaller() -> None:
    pytest.importorskip("pypdfium2")
    width, height = render_page(pdf(1), 0, max_pixels=5000).size
    assert 4500 < width * height <= 5000
    assert abs(width / height - 100 / 60) < 0.05


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"%PDF-1.4 and then nothing", UnreadablePDFError),
        (b"", UnreadablePDFError),
        (pdf(1, password="secret"), EncryptedPDFError),
    ],
)
def test_a_pdf_that_cannot_be_read(pipeline: Pipeline, tmp_path: Path, content: Any, error: Any) -> None:
    pytest.importorskip("pypdfium2")
    (tmp_path / "bad.pdf").write_bytes(content)
    with pytest.raises(error, match=r"bad\.pdf") as caught:
        list(pipeline.predict(tmp_path / "bad.pdf"))
    assert caught.type is error
    # One in a folder does not hide the others.
    (tmp_path / "good.jpg").write_bytes(jpeg())
    assert [result.input_path for result in pipeline.predict(tmp_path, on_error="skip")] == [str(tmp_path / "good.jpg")]
    assert [type(skipped) for skipped in pipeline.errors] == [error]


def test_a_pdf_without_pypdfium2_says_what_to_install(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pypdfium2", None)
    (tmp_path / "scan.pdf").write_bytes(pdf(1))
    with pytest.raises(DependencyError, match=r"scan\.pdf: .*pip install pypdfium2"):
        next(pipeline.predict(tmp_path / "scan.pdf"))


def test_every_frame_of_a_tiff_is_an_image(pipeline: Pipeline, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "a.tiff").write_bytes(frames(10, 20))
    (tmp_path / "b.tif").write_bytes(frames(30))
    results = list(pipeline.predict(tmp_path))
    assert [(Path(str(result.input_path)).name, result.page_index) for result in results] == [
        ("a.tiff", 0),
        ("a.tiff", 1),
        ("b.tif", 0),
    ]
    assert sorted(int(pixels(sent)[0, 0, 0]) for sent in server.images()) == [10, 20, 30]
    assert frames(30) in server.images()  # as it is


def test_frames_of_16_bits_are_sent_as_the_server_would_decode_them(
    pipeline: Pipeline, server: FakeServer, tmp_path: Path
) -> None:
    ramp = np.linspace(0, 65535, 8 * 6).astype(np.uint16).reshape(6, 8)
    first, second = Image.fromarray(ramp), Image.fromarray(ramp[::-1].copy())
    first.save(tmp_path / "stack.tif", save_all=True, append_images=[second])
    list(pipeline.predict(tmp_path / "stack.tif"))
    sent = sorted(pixels(image)[..., 0].tolist() for image in server.images())
    assert sent == sorted([(ramp >> 8).tolist(), (ramp[::-1] >> 8).tolist()])


def test_frames_of_32_bits_are_refused_unless_they_are_stretched(
    pipeline: Pipeline, server: FakeServer, tmp_path: Path
) -> None:
    ramp = np.linspace(-5, 5, 8 * 6, dtype=np.float32).reshape(6, 8)
    frame = Image.fromarray(ramp)
    frame.save(tmp_path / "heights.tif", save_all=True, append_images=[frame])
    with pytest.raises(UnreadableFileError, match=r"heights\.tif \(page 0\): .*32-bit floating-point samples"):
        list(pipeline.predict(tmp_path / "heights.tif"))
    assert not server.requests
    results = list(pipeline.predict(tmp_path / "heights.tif", stretch=True))
    assert [result.page_index for result in results] == [0, 1]
    assert all((pixels(image).min(), pixels(image).max()) == (0, 255) for image in server.images())


def test_an_image_at_a_url_is_fetched_to_be_stretched(pipeline: Pipeline, server: FakeServer) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8)).save(buffer, "PNG")
    server.files = {"/dark.png": buffer.getvalue()}
    (result,) = pipeline.predict(f"{server.url}/dark.png", stretch=True)
    assert result.input_path == f"{server.url}/dark.png"
    assert pixels(server.images()[0]).max() == 255


# URLs


def test_an_image_at_a_url_is_left_to_the_server_but_pages_are_not(pipeline: Pipeline, server: FakeServer) -> None:
    pytest.importorskip("pypdfium2")
    server.files = {"/scan.pdf": pdf(2), "/frames.tiff": frames(10, 20)}
    urls = [f"{server.url}/{name}" for name in ("a.jpg", "scan.pdf?x=1.jpg", "frames.tiff")]
    server.files["/scan.pdf?x=1.jpg"] = server.files["/scan.pdf"]
    results = list(pipeline.predict(urls))
    assert [(result.input_path, result.page_index) for result in results] == [
        (urls[0], None), (urls[1], 0), (urls[1], 1), (urls[2], 0), (urls[2], 1)
    ]  # fmt: skip
    assert sum(body["image"] == urls[0] for _, body in server.requests) == 1


def test_a_document_that_cannot_be_fetched(server: FakeServer, nowhere: str) -> None:
    server.files = {"/empty.pdf": b""}
    server.respond_with(404, {"errorCode": 404, "errorMsg": "Not Found"})
    with create_pipeline(url=server.url, api_key="secret") as pipeline:
        for url, message in (
            (f"{nowhere}/a.pdf", "cannot be fetched"),
            (f"{server.url}/none.pdf", "the host answered 404"),
            (f"{server.url}/empty.pdf", "the response is empty"),
            ("http://a:b/x.pdf", "cannot be fetched"),
        ):
            with pytest.raises(UnreadableFileError, match=message):
                next(pipeline.predict(url))
    assert all("Authorization" not in headers for headers in server.headers), "the API key was sent to another host"


def test_a_download_that_is_too_large(server: FakeServer) -> None:
    server.files = {"/fits.pdf": bytes(100), "/large.pdf": bytes(101)}
    fetcher = Fetcher(timeout=10, max_bytes=100)
    assert fetcher(f"{server.url}/fits.pdf") == bytes(100)
    with pytest.raises(UnreadableFileError, match="cannot be fetched: it is larger than 100 bytes"):
        fetcher(f"{server.url}/large.pdf")
    fetcher.close()


# Files, bytes and the rest


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_sent_as_they_are(pipeline: Pipeline, server: FakeServer, kind: Any) -> None:
    (result,) = pipeline.predict(kind(jpeg()))
    assert server.images() == [jpeg()]
    assert result.input_path is None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("no such file.jpg", MissingFileError, "no such file.jpg: no such file or folder"),
        ("no such file.pdf", MissingFileError, "no such file.pdf: no such file or folder"),
        ("no such file.tif", MissingFileError, "no such file.tif: no such file or folder"),
        ("a\0b", InvalidInputError, "null byte"),
        (b"", UnreadableFileError, r"input\[0\]: .*no bytes"),
        ([b"x", b""], UnreadableFileError, r"input\[1\]: "),
        ([17], InvalidInputError, r"input\[0\]: .*not int"),
        ([None], InvalidInputError, "not NoneType"),
    ],
)
def test_an_element_that_cannot_be_read(pipeline: Pipeline, given: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        list(pipeline.predict(given))


@pytest.mark.parametrize("given", [17, None, {"a": "b"}])
def test_an_invalid_input_is_refused_at_once(pipeline: Pipeline, given: Any) -> None:
    with pytest.raises(
        InvalidInputError, match="an image is a path, a URL, bytes, an open file, an array or an image of Pillow, not"
    ):
        pipeline.predict(given)


def test_an_empty_file(pipeline: Pipeline, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UnreadableFileError, match=r"empty\.jpg: the file is empty"):
        next(pipeline.predict(tmp_path / "empty.jpg"))
    assert not server.requests


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(pipeline: Pipeline, street: Path) -> None:
    street.chmod(0)
    with pytest.raises(UnreadableFileError, match="Permission denied"):
        next(pipeline.predict(street))


def test_an_input_may_mix_everything(pipeline: Pipeline, server: FakeServer, street: Path) -> None:
    given = [street, str(street), jpeg(), np.zeros((2, 2, 3), np.uint8), "http://example.com/a.jpg"]
    for kind in (list, tuple, iter, lambda entries: (entry for entry in entries)):
        paths = [result.input_path for result in pipeline.predict(kind(given))]
        assert paths == [str(street), str(street), None, None, "http://example.com/a.jpg"]
    assert base64.b64encode(jpeg()).decode() in [body["image"] for _, body in server.requests]


def test_nothing_gives_nothing(pipeline: Pipeline, server: FakeServer) -> None:
    assert list(pipeline.predict([])) == []
    assert not server.requests

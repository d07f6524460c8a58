"""Inputs of other kinds and formats: open files, images of Pillow, patterns, and formats the server does not read."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from sod_client import InvalidInputError, MissingFileError, Pipeline, UnreadableFileError, create_pipeline
from sod_client._inputs.sources import IMAGE_SUFFIXES

from tests.clients.conftest import FakeServer, jpeg, pdf

# Red above blue, so that a turn or an exchange of channels shows.
RGB = np.zeros((24, 32, 3), np.uint8)
RGB[:12], RGB[12:] = (220, 10, 10), (10, 10, 220)
IMAGE = Image.fromarray(RGB)


@pytest.fixture
def pipeline(server: Any) -> Iterator[Pipeline]:
    with create_pipeline(url=server.url) as made:
        yield made


def pixels(image: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(image)) as opened:
        return np.array(opened.convert("RGB"))


def saved(image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    IMAGE.save(buffer, image_format, **options)
    return buffer.getvalue()


# Open files


def test_an_open_file_is_one_image_and_not_its_lines(pipeline: Pipeline, server: FakeServer, street: Path) -> None:
    with street.open("rb") as file:
        (result,) = pipeline.predict(file)
    assert result.input_path == str(street)
    (result,) = pipeline.predict(io.BytesIO(jpeg()))
    assert result.input_path is None
    assert len(list(pipeline.predict([io.BytesIO(jpeg()), io.BytesIO(jpeg())]))) == 2
    assert server.images() == [jpeg()] * 4


def test_an_open_file_that_gives_no_image(pipeline: Pipeline, street: Path) -> None:
    buffer = io.BytesIO(jpeg())
    buffer.seek(0, io.SEEK_END)
    with pytest.raises(UnreadableFileError, match=r"input\[0\]: the open file has no bytes.*call seek\(0\) before"):
        next(pipeline.predict(buffer))
    with pytest.raises(InvalidInputError, match="an open file must give bytes, not str: open it in mode 'rb'"):
        next(pipeline.predict(io.StringIO("text")))
    with street.open("rb") as file:
        pass
    with pytest.raises(UnreadableFileError, match=r"the open file cannot be read: .*closed file"):
        next(pipeline.predict(file))


def test_an_open_pdf_gives_its_pages(pipeline: Pipeline) -> None:
    pytest.importorskip("pypdfium2")
    assert [result.page_index for result in pipeline.predict(io.BytesIO(pdf(2)))] == [0, 1]
    assert [result.page_index for result in pipeline.predict(pdf(3))] == [0, 1, 2]


# Images of Pillow


def test_an_image_of_pillow_is_sent_as_its_pixels_are(pipeline: Pipeline, server: FakeServer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(saved("PNG", exif=exif)))
    for image in (IMAGE, IMAGE.convert("RGBA"), turned):
        (result,) = pipeline.predict(image)
        assert result.input_path is None
        np.testing.assert_array_equal(pixels(server.images()[-1]), RGB)
    assert len(list(pipeline.predict([IMAGE, IMAGE.convert("L")]))) == 2
    with pytest.raises(UnreadableFileError, match="cannot be decoded"):
        next(pipeline.predict(Image.open(io.BytesIO(saved("PNG")[:-30]))))


# Patterns


def test_a_pattern_gives_its_files_by_name(pipeline: Pipeline, tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg", "c.png", "sub/d.jpg", "[x].jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())

    def found(pattern: str) -> list[str]:
        return [str(Path(str(each.input_path)).relative_to(tmp_path)) for each in pipeline.predict(tmp_path / pattern)]

    assert found("?.jpg") == ["a.jpg", "b.jpg"]
    assert found("**/*.jpg") == ["[x].jpg", "a.jpg", "b.jpg", "sub/d.jpg"]
    assert found("[x].jpg") == ["[x].jpg"], "a file of this very name"
    with pytest.raises(MissingFileError, match=r"\*\.bmp: no file matches this pattern"):
        found("*.bmp")


# Formats


def written(suffix: str) -> bytes:
    image = RGB[..., 0] if suffix in (".pgm", ".pbm") else RGB[..., ::-1]
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("suffix", [".ppm", ".pgm", ".pnm", ".ras", ".sr", ".dib"])
def test_formats_that_opencv_writes(pipeline: Pipeline, server: FakeServer, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(written(suffix))
    (result,) = pipeline.predict(tmp_path)
    expected = np.repeat(RGB[..., :1], 3, 2) if suffix == ".pgm" else RGB
    (sent,) = server.images()
    assert sent[:2] in (b"BM", b"\x89P")
    np.testing.assert_array_equal(pixels(sent), expected)
    assert result.input_path == str(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".gif", saved("GIF", save_all=True, append_images=[Image.new("RGB", (32, 24), "green")])),
        (".avif", saved("AVIF", quality=100)),
        (".jp2", saved("JPEG2000")),
        (".dib", saved("DIB")),
        (".pbm", b"P1\n2 1\n1 0\n"),
        (".pgm", b"P5\n2 1\n65535\n\x00\x00\xff\xff"),
    ],
)
def test_other_formats_are_sent_as_png(
    pipeline: Pipeline, server: FakeServer, tmp_path: Path, suffix: str, content: bytes
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert len(list(pipeline.predict([tmp_path, content]))) == 2
    for sent in server.images():
        assert sent.startswith(b"\x89PNG")
        expected = np.array([[[0] * 3, [255] * 3]]) if suffix in (".pbm", ".pgm") else RGB
        assert np.abs(pixels(sent).astype(int) - expected).mean() < 6


def test_the_first_frame_of_an_animation_is_sent_unchanged(pipeline: Pipeline, server: FakeServer) -> None:
    """The server reads the first frame of an animated WebP or PNG itself."""
    from sod.image import decode_image

    for image_format in ("WEBP", "PNG"):
        animation = saved(image_format, save_all=True, append_images=[Image.new("RGB", (32, 24))], lossless=True)
        list(pipeline.predict(animation))
        assert server.images()[-1] == animation
        np.testing.assert_array_equal(decode_image(animation)[..., ::-1], RGB)


def test_heic_without_pillow_heif_says_what_to_install(
    pipeline: Pipeline, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(UnreadableFileError, match=r"IMG_1\.HEIC: reading HEIC requires pillow-heif: pip install"):
        list(pipeline.predict(tmp_path))
    assert not server.requests


def test_paddlexs_suffixes_are_collected() -> None:
    paddlex = "bmp dib jpeg jpg png webp pbm pgm ppm pnm sr ras tiff tif pdf"
    assert {f".{suffix}" for suffix in paddlex.split()} <= IMAGE_SUFFIXES

"""What a result prints and saves, and the file names, which are PaddleX's."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sod_client import BadReplyError, Box, InvalidInputError, NoImageError, Result, create_pipeline

from tests.clients.conftest import BOXES, OVERLAY, SUCCESS, jpeg, pdf, without_image

CAR = Box(cls_id=3, label="car", score=0.75, coordinate=[16.0, 12.0, 48.0, 36.0])


@pytest.fixture
def result(street: Path, server: Any) -> Result:
    with create_pipeline(url=server.url) as pipeline:
        (made,) = pipeline.predict(street)
    return made


def test_a_result_has_paddlex_fields(result: Result, street: Path) -> None:
    assert list(result) == ["input_path", "page_index", "boxes"]
    assert result["input_path"] == result.input_path == str(street)
    assert result["page_index"] is result.page_index is None
    assert result["boxes"] == result.boxes == BOXES
    assert result.json == {"res": {"input_path": str(street), "page_index": None, "boxes": BOXES}}
    assert result.str == result.json
    assert result.image == OVERLAY
    assert result.log_id == "0b7e"


def test_img_is_the_drawn_image(result: Result) -> None:
    drawn = result.img["res"]
    assert (drawn.mode, drawn.size) == ("RGB", (64, 48))
    red, _, blue = drawn.getpixel((5, 5))
    assert red > 150 > blue


def test_print_writes_one_line_of_python(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    result.print()
    out = capsys.readouterr().out
    assert out == f"{result.json}\n"
    assert out.startswith("{'res': {'input_path': '")


@pytest.mark.parametrize("name", ["json_format", "format_json"])
def test_print_writes_json(result: Result, capsys: pytest.CaptureFixture[str], name: str) -> None:
    result.print(**{name: True})
    printed = capsys.readouterr().out
    assert json.loads(printed) == result.json
    assert "车" in printed
    assert '\n    "res"' in printed
    result.print(**{name: True}, indent=None, ensure_ascii=True)
    printed = capsys.readouterr().out
    assert json.loads(printed) == result.json
    assert printed.isascii()
    assert printed.count("\n") == 1


def test_saving_in_a_folder_takes_the_name_of_the_input(result: Result, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "as needed"
    assert result.save_to_json(str(folder)) == folder / "street_res.json"
    assert result.save_to_img(folder) == folder / "street_res.jpg"
    saved = (folder / "street_res.json").read_text("utf-8")
    assert json.loads(saved) == result.json["res"]
    assert "车" in saved
    assert (folder / "street_res.jpg").read_bytes() == OVERLAY


def test_save_all_writes_both(result: Result, tmp_path: Path) -> None:
    result.save_all(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["street_res.jpg", "street_res.json"]


def test_json_options(result: Result, tmp_path: Path) -> None:
    text = result.save_to_json(tmp_path, indent=None, ensure_ascii=True).read_text("utf-8")
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text) == result.json["res"]


def test_saving_to_a_file_takes_its_name(result: Result, tmp_path: Path) -> None:
    assert result.save_to_json(tmp_path / "a" / "x.json") == tmp_path / "a" / "x.json"
    assert result.save_to_img(tmp_path / "a" / "x.JPEG") == tmp_path / "a" / "x.JPEG"
    (tmp_path / "folder.json").mkdir()
    assert result.save_to_json(tmp_path / "folder.json").parent == tmp_path / "folder.json"


@pytest.mark.parametrize(("name", "format_"), [("x.png", "PNG"), ("x.webp", "WEBP"), ("x.BMP", "BMP")])
def test_an_image_is_written_as_its_name_says(result: Result, tmp_path: Path, name: str, format_: str) -> None:
    with Image.open(result.save_to_img(tmp_path / name)) as image:
        assert (image.format, image.size) == (format_, (64, 48))


def test_an_image_that_cannot_be_written(result: Result, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"a \.svg file cannot be written; use \.jpg or \.png"):
        result.save_to_img(tmp_path / "x.svg")


@pytest.mark.parametrize(
    ("input_path", "page", "name"),
    [
        ("a/b.jpg", None, "b_res.jpg"),
        ("a/b.v2.PNG", None, "b.v2_res.PNG"),
        ("a/scan.pdf", 0, "scan_0_res.png"),
        ("a/scan.pdf", 11, "scan_11_res.png"),
        ("a/b.tiff", 0, "b_0_res.tiff"),
        ("a/b.ras", None, "b_res.png"),
        ("a/b", None, "b_res.png"),
        ("https://example.com/c/d.webp?x=1.png", None, "d_res.webp"),
    ],
)
def test_the_ending_is_the_inputs(input_path: str, page: int | None, name: str, tmp_path: Path) -> None:
    saved = Result(input_path, [], page_index=page, image=OVERLAY).save_to_img(tmp_path)
    assert saved == tmp_path / name
    with Image.open(saved) as image:
        assert image.size == (64, 48)


def test_pages_do_not_replace_each_other(server: Any, tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    (tmp_path / "scan.pdf").write_bytes(pdf(3))
    with create_pipeline(url=server.url) as pipeline:
        for result in pipeline.predict(tmp_path / "scan.pdf"):
            result.save_all(tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 6
    assert [json.loads((tmp_path / f"out/scan_{page}_res.json").read_text())["page_index"] for page in (0, 1, 2)] == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("input_path", "log_id", "stem"),
    [
        ("https://example.com/a%20b/c%2F..%2Fpic%20one.png?x=/y.jpg#z", None, "pic_one"),
        ("https://example.com/", "0b7e", "0b7e"),
        ("https://example.com/" + "n" * 300 + ".jpg", None, "n" * 100),
        (None, "0b7e", "0b7e"),
        (None, "../../etc", "_.._etc"),
    ],
)
def test_a_name_from_elsewhere_cannot_leave_the_folder(
    input_path: str | None, log_id: str | None, stem: str, tmp_path: Path
) -> None:
    saved = Result(input_path, [], log_id=log_id).save_to_json(tmp_path)
    assert saved == tmp_path / f"{stem}_res.json"
    assert saved.is_file()


def test_a_result_without_a_name_makes_one_up_and_keeps_it(tmp_path: Path) -> None:
    one, other = Result(None, [], image=OVERLAY), Result(None, [])
    assert one.save_to_json(tmp_path).stem == one.save_to_img(tmp_path).stem
    assert other.save_to_json(tmp_path).stem != one.save_to_json(tmp_path).stem


# Without the server's drawing


@pytest.mark.parametrize("reply", [without_image(), without_image(image=None)])
def test_the_client_draws_if_the_server_did_not(server: Any, street: Path, reply: Any, tmp_path: Path) -> None:
    server.respond_with(200, reply)
    with create_pipeline(url=server.url) as pipeline:
        (result,) = pipeline.predict(street, visualize=False)
    assert result.image is None
    assert result.size == (64, 48)
    drawn = result.img["res"]
    with Image.open(street) as image:
        assert drawn.size == image.size
        assert drawn.tobytes() != image.tobytes()
    assert result.save_to_img(tmp_path / "out").name == "street_res.jpg"


def test_no_image_to_save(server: Any, street: Path, tmp_path: Path) -> None:
    server.respond_with(200, without_image())
    with create_pipeline(url=server.url) as pipeline:
        (remote,) = pipeline.predict("http://example.com/a.jpg", visualize=False)
        (gone,) = pipeline.predict(street, visualize=False)
    street.unlink()
    for result in (remote, gone, Result("a.jpg", [])):
        with pytest.raises(NoImageError):
            result.save_to_img(tmp_path)
        with pytest.raises(NoImageError):
            result.to_yolo()
    assert not list(tmp_path.iterdir())


def test_an_overlay_that_is_no_image_fails_when_it_is_opened(tmp_path: Path) -> None:
    result = Result("a.png", [], image=b"\xff\xd8 no image")
    for use in (lambda: result.img, lambda: result.size, lambda: result.save_to_img(tmp_path)):
        with pytest.raises(NoImageError, match="the server's drawing is not an image"):
            use()


# Formats of other tools


def test_csv(tmp_path: Path) -> None:
    result = Result('a, "b".jpg', [CAR], page_index=2)
    rows = list(csv.reader(io.StringIO(result.to_csv(tmp_path))))
    assert rows == [
        ["input_path", "page_index", "cls_id", "label", "score", "x1", "y1", "x2", "y2"],
        ['a, "b".jpg', "2", "3", "car", "0.75", "16.0", "12.0", "48.0", "36.0"],
    ]
    assert (tmp_path / 'a, "b"_2_res.csv').read_text("utf-8") == result.to_csv()
    result.to_csv(tmp_path / "x.csv", header=False)
    assert (tmp_path / "x.csv").read_text().count("\n") == 1


def test_coco() -> None:
    assert Result("a.jpg", [CAR]).to_coco(7, first_category_id=1) == [
        {"image_id": 7, "category_id": 4, "bbox": [16.0, 12.0, 32.0, 24.0], "score": 0.75}
    ]
    assert Result("a.jpg", []).to_coco() == []


def test_yolo(tmp_path: Path) -> None:
    result = Result("a/b.jpg", [CAR], image=jpeg(64, 48))
    assert result.to_yolo(tmp_path) == "3 0.500000 0.500000 0.500000 0.500000\n"
    assert (tmp_path / "b.txt").read_text() == result.to_yolo()
    assert result.to_yolo(tmp_path / "x.txt", scores=True).endswith(" 0.750000\n")
    assert Result("a.jpg", [], image=OVERLAY).to_yolo() == ""


def test_supervision() -> None:
    pytest.importorskip("supervision")
    found = Result("a.jpg", [CAR, CAR]).to_supervision()
    assert found.xyxy.tolist() == [CAR["coordinate"]] * 2
    assert found.confidence.tolist() == [0.75, 0.75]
    assert found.class_id.tolist() == [3, 3]
    assert found.data["class_name"].tolist() == ["car", "car"]
    assert len(Result("a.jpg", []).to_supervision()) == 0


def test_pandas() -> None:
    pytest.importorskip("pandas")
    table = Result("a.jpg", [CAR]).to_pandas()
    assert table.to_dict("records") == [
        {
            "input_path": "a.jpg",
            "page_index": None,
            "cls_id": 3,
            "label": "car",
            "score": 0.75,
            "x1": 16.0,
            "y1": 12.0,
            "x2": 48.0,
            "y2": 36.0,
        }
    ]
    assert list(Result("a.jpg", []).to_pandas().columns) == list(table.columns)


def test_an_invalid_drawing_is_a_bad_reply(server: Any, street: Path) -> None:
    server.respond_with(200, {**SUCCESS, "result": {**SUCCESS["result"], "image": "%%%"}})
    with create_pipeline(url=server.url) as pipeline, pytest.raises(BadReplyError):
        next(pipeline.predict(street))

"""Files are written whole, under any name, and no image replaces the files of another."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from sod_client import Result, SodWarning, create_pipeline
from sod_client.cli import main

from tests.clients.conftest import BOXES, FakeServer, jpeg


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("photos/a.jpg", "photos/day/a.jpg", "photos/night/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    return tmp_path / "photos"


def test_subfolders_are_mirrored(server: FakeServer, photos: Path, tmp_path: Path) -> None:
    with create_pipeline(url=server.url) as pipeline:
        for result in pipeline.predict(photos):
            result.save_all(tmp_path / "out")
            assert result.save_to_json(tmp_path / "out").is_file()
        for result in pipeline.predict(f"{photos}/*/a.jpg"):
            result.save_to_json(tmp_path / "matched")
    names = [f"{folder}a_res.{suffix}" for folder in ("", "day/", "night/") for suffix in ("jpg", "json")]
    assert tree(tmp_path / "out") == sorted(names)
    assert tree(tmp_path / "matched") == ["day/a_res.json", "night/a_res.json"]
    saved = json.loads((tmp_path / "out/night/a_res.json").read_text())
    assert saved["input_path"] == str(photos / "night/a.jpg")


def test_two_images_of_one_name_get_two_files_and_one_line(
    server: FakeServer, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "a.png").write_bytes(jpeg())
    given = [str(photos / name) for name in ("a.jpg", "day/a.jpg", "a.png", "a.jpg")]
    out = tmp_path / "out"
    assert main(["predict", *given, "--url", server.url, "--save_path", str(out)]) == 0
    assert tree(out) == ["a_2_res.jpg", "a_2_res.json", "a_3_res.json", "a_3_res.png", "a_res.jpg", "a_res.json"]
    assert capsys.readouterr().err.splitlines() == [
        f"sod: note: {given[1]}: saved as a_2, because {given[0]} has the same name",
        f"sod: note: {given[2]}: saved as a_3, because {given[0]} has the same name",
    ]
    for name, path in (("a_res", given[0]), ("a_2_res", given[1]), ("a_3_res", given[2])):
        assert json.loads((out / f"{name}.json").read_text())["input_path"] == path


def test_other_folders_and_other_calls_keep_the_plain_name(server: FakeServer, photos: Path, tmp_path: Path) -> None:
    with create_pipeline(url=server.url) as pipeline:
        first, second = pipeline.predict([photos / "a.jpg", photos / "day/a.jpg"])
        assert first.save_to_json(tmp_path / "one").name == second.save_to_json(tmp_path / "two").name == "a_res.json"
        with pytest.warns(SodWarning, match=r"day/a\.jpg: saved as a_2, because .*photos/a\.jpg has the same name"):
            assert second.save_to_json(tmp_path / "one").name == "a_2_res.json"
        assert second.save_to_img(tmp_path / "one").name == "a_2_res.jpg"
        (again,) = pipeline.predict(photos / "day/a.jpg")
        assert again.save_to_json(tmp_path / "one").name == "a_res.json"


def test_image_ids_of_coco_are_not_shared(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/0007.jpg", "b/0007.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(jpeg())
    assert main(["predict", str(tmp_path), "--url", server.url, "--format", "coco"]) == 0
    captured = capsys.readouterr()
    assert [entry["image_id"] for entry in json.loads(captured.out)] == [7, 7, "0007_2", "0007_2"]
    assert captured.err == (
        f"sod: note: {tmp_path}/b/0007.jpg: its image_id is 0007_2, because {tmp_path}/a/0007.jpg has the same name\n"
    )


# Any name


def test_a_name_that_is_not_utf_8_does_not_end_the_run(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    gbk = folder / os.fsdecode("汉字.jpg".encode("gbk"))
    for path in (gbk, folder / "后.jpg", folder / "a.jpg"):
        path.write_bytes(jpeg())
    out = tmp_path / "out"
    for form in ("python", "json", "csv", "coco"):
        arguments = ["predict", str(folder), "--url", server.url, "--save_path", str(out), "--format", form]
        assert main([*arguments, "--save", "json,img,csv,yolo"]) == 0
        captured = capsys.readouterr()
        captured.out.encode()
        assert captured.err == ""
    saved = json.loads((out / f"{gbk.stem}_res.json").read_text())
    assert (saved["input_path"], saved["boxes"]) == (str(gbk), BOXES)
    assert json.loads((out / "后_res.json").read_text())["input_path"] == str(folder / "后.jpg")
    assert len(tree(out)) == 12
    assert all((out / name).stat().st_size for name in tree(out))


@pytest.mark.parametrize("stem", ["x" * 251, "图" * 83])
def test_a_long_name_is_cut(server: FakeServer, tmp_path: Path, stem: str) -> None:
    image = tmp_path / f"{stem}.jpg"
    image.write_bytes(jpeg())
    with create_pipeline(url=server.url) as pipeline:
        (result,) = pipeline.predict(image)
    path = result.save_to_json(tmp_path / "out")
    assert path.is_file()
    assert path.name.startswith(stem[:60])
    assert path.name.endswith("_res.json")


# Whole or not at all


def test_a_failure_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result: Any = Result("a.jpg", [])
    path = result.save_to_json(tmp_path)
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    result["boxes"] = [1, 2, 3]
    with pytest.raises(OSError, match="No space left"):
        result.save_to_json(tmp_path)
    result["boxes"] = [object()]
    with pytest.raises(TypeError):
        result.save_to_json(tmp_path)
    assert [(each, each.read_bytes()) for each in tmp_path.iterdir()] == [(path, before)]


def test_a_path_that_ends_with_a_slash_is_a_folder(tmp_path: Path) -> None:
    path = Result("a.jpg", []).save_to_json(f"{tmp_path}/x.json/")
    assert path == tmp_path / "x.json" / "a_res.json"


# Folders


def test_links_to_folders_are_followed_once(server: FakeServer, photos: Path) -> None:
    (photos / "link").symlink_to(photos / "day")
    (photos / "day" / "up").symlink_to(photos)
    outside = photos.parent / "outside"
    outside.mkdir()
    (outside / "b.jpg").write_bytes(jpeg())
    (photos / "other").symlink_to(outside)
    with create_pipeline(url=server.url) as pipeline:
        found = [str(Path(str(result.input_path)).relative_to(photos)) for result in pipeline.predict(photos)]
    assert found == ["a.jpg", "day/a.jpg", "night/a.jpg", "other/b.jpg"]


def test_what_macos_and_jupyter_add_is_left_out(server: FakeServer, photos: Path) -> None:
    for name in ("._a.jpg", "__MACOSX/a.jpg", ".ipynb_checkpoints/a-checkpoint.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"\0\5\x16\7")
    with create_pipeline(url=server.url) as pipeline:
        assert len(list(pipeline.predict(photos))) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_said(server: FakeServer, photos: Path) -> None:
    (photos / "day").chmod(0)
    with create_pipeline(url=server.url) as pipeline:
        assert len(list(pipeline.predict(photos, on_error="skip"))) == 2
        assert "day: this folder cannot be read: Permission denied" in str(pipeline.errors[0])
    (photos / "day").chmod(0o700)

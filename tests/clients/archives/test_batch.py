"""`sod batch`: the dataset, going on, and what is refused."""

import fcntl
import hashlib
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.clients.archives.conftest import BROKEN, LABELS, Sod, files, reply_by_content, rows, write_images
from tests.clients.conftest import FakeServer, jpeg, pdf


def test_one_row_an_image(sod: Sod, images: Path, tmp_path: Path):
    assert sod(images, tmp_path / "out", "--threshold", "0.3") == (0, "")
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found] == sorted(str(path) for path in images.rglob("*.jpg"))
    row = found[0]
    content = Path(row["path"]).read_bytes()
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert (row["size"], row["page"], row["status"], row["error"]) == (len(content), None, "ok", None)
    assert (row["width"], row["height"]) == (64, 48)
    assert (row["model"], row["model_sha256"], row["profile"], row["thresholds"]) == ("demo", None, None, "0.3")
    assert any(row["objects"] for row in found)
    for one in (one for row in found for one in row["objects"]):
        assert one["label"] == LABELS[one["class_id"]]
        assert one["x2"] - one["x1"] == 9
        assert one["polygon"] is None


def test_the_files_do_not_depend_on_order_and_parallelism(sod: Sod, images: Path, tmp_path: Path):
    sod(images, tmp_path / "a", "--max_in_flight", 1)
    names = sorted(map(str, images.rglob("*.jpg")), reverse=True)
    (tmp_path / "names.txt").write_text("\n".join(names))
    sod(tmp_path / "names.txt", tmp_path / "b", "--max_in_flight", 8)
    assert files(tmp_path / "a") == files(tmp_path / "b") != {}


def test_only_new_and_changed_files_are_done_again(sod: Sod, images: Path, tmp_path: Path, server: FakeServer):
    out = tmp_path / "out"
    sod(images, out)
    server.requests.clear()
    assert sod(images, out)[0] == 0
    assert sum(body is not None for _, body in server.requests) == 0
    changed = images / "flight0/0002.jpg"
    changed.write_bytes(jpeg(80, 80))
    (images / "new.jpg").write_bytes(jpeg(90, 90))
    sod(images, out)
    assert sum(body is not None for _, body in server.requests) == 2
    found = {row["path"]: row for row in rows(out)}
    assert len(found) == len(rows(out)) == 13
    assert found[str(changed)]["width"] == 80


def test_verify_compares_the_content(sod: Sod, images: Path, tmp_path: Path, server: FakeServer):
    out, same = tmp_path / "out", images / "flight0/0000.jpg"
    sod(images, out)
    other = images / "flight0/0002.jpg"
    status = other.stat()
    other.write_bytes(jpeg(66, 48, (1, 2, 3)).ljust(status.st_size, b"\0")[: status.st_size])
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(same)
    server.requests.clear()
    sod(images, out, "--verify")
    assert len([body for _, body in server.requests if body]) == 1


def test_the_same_file_twice_is_one_row(sod: Sod, images: Path, tmp_path: Path):
    sod(images, images / "flight0", tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 12


def test_a_path_that_may_not_be_looked_at_does_not_stop_the_others(sod: Sod, images: Path, tmp_path: Path):
    code, err = sod(f"{'n' * 300}.jpg", images, tmp_path / "out")
    assert code == 1
    assert "cannot be read: File name too long" in err
    assert len(rows(tmp_path / "out")) == 12


def test_restart_removes_nothing_for_an_input_that_is_not_there(sod: Sod, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    sod(images, out)
    before = files(out)
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "imgaes", tmp_path / "*.jpgg", tmp_path / "empty"):
        code, err = sod(images, missing, out, "--restart")
        assert code == 2
        assert err.endswith("; --restart has removed nothing\n")
        assert files(out) == before


def test_failures_are_rows(sod: Sod, images: Path, tmp_path: Path, server: FakeServer):
    (images / "broken.jpg").write_bytes(BROKEN)
    (images / "empty.jpg").write_bytes(b"")
    (tmp_path / "names.csv").write_text(f"id,path\n1,images/broken.jpg\n2,images/empty.jpg\n3,{tmp_path}/no.jpg\n")
    out = tmp_path / "out"
    code, error = sod(tmp_path / "names.csv", out)
    assert code == 1
    assert "3 failed (1 missing, 1 refused, 1 unreadable); --retry-failed does failed images again" in error
    found = {Path(row["path"]).name: (row["error_kind"], row["error"]) for row in rows(out)}
    assert found == {
        "broken.jpg": ("refused", "the server answered 415: not an image"),
        "empty.jpg": ("unreadable", "the file is empty"),
        "no.jpg": ("missing", "no such file or folder"),
    }
    server.requests.clear()
    assert sod(tmp_path / "names.csv", out)[0] == 1
    assert not [body for _, body in server.requests if body]
    server.reply = lambda body: reply_by_content(body and {"image": "QUJD"})
    assert sod(tmp_path / "names.csv", out, "--retry-failed")[0] == 1
    assert [row["status"] for row in rows(out)] == ["ok", "failed", "failed"]


def test_another_threshold_or_model_is_another_run(sod: Sod, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    sod(images, out, "--threshold", "0.3")
    before = files(out)
    code, error = sod(images, out, "--threshold", "car:0.5")
    assert code == 2
    assert error == (
        f'sod: {out} was made with the threshold 0.3, and this run has {{"1": 0.5}}: choose another OUTPUT, or pass '
        "--restart, which removes its rows and detects every image again\n"
    )
    assert "was made with the threshold 0.3, and this run has its default: choose" in sod(images, out)[1]
    assert files(out) == before
    assert sod(images / "flight0", out, "--threshold", "car:0.5", "--restart")[0] == 0
    assert len(rows(out)) == 6


def test_a_second_writer_is_refused(sod: Sod, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    sod(images, out)
    with (out / "_sod/lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, error = sod(images, out)
    assert code == 2
    assert f"{out} is being written by process {os.getpid()} on" in error


def test_pages_and_shards(sod: Sod, images: Path, tmp_path: Path):
    import tarfile
    import zipfile

    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "plan.pdf").write_bytes(pdf(3))
    with tarfile.open(inside / "shard-000.tar", "w") as tar:
        for path in sorted(images.rglob("*.jpg"))[:4]:
            tar.add(path, path.name)
        tar.add(__file__, "0000.json")
    with zipfile.ZipFile(inside / "more.zip", "w") as archive:
        archive.write(images / "flight1/0001.jpg", "a/b.jpg")
    whole = (inside / "shard-000.tar").read_bytes()
    (inside / "torn.tar").write_bytes(whole[: len(whole) // 2])
    code, _ = sod(inside, tmp_path / "out")
    found = rows(tmp_path / "out")
    names = [(row["path"].removeprefix(f"{inside}/"), row["page"], row["status"]) for row in found]
    assert [one for one in names if not one[0].startswith("torn")] == [
        ("more.zip/a/b.jpg", None, "ok"),
        ("plan.pdf", 0, "ok"),
        ("plan.pdf", 1, "ok"),
        ("plan.pdf", 2, "ok"),
        *((f"shard-000.tar/{number:04d}.jpg", None, "ok") for number in (0, 2, 4, 6)),
    ]
    assert ("torn.tar", None, "failed") in names
    assert code == 1
    (inside / "torn.tar").write_bytes(whole)
    assert sod(inside, tmp_path / "out", "--retry-failed")[0] == 0
    assert {row["status"] for row in rows(tmp_path / "out")} == {"ok"}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none/", None, "no such file or folder"),
        ("*.jpg", None, "no file matches this pattern"),
        ("empty", "", "there is no image, PDF or shard in it"),
        ("a.csv", "one,two\n1,2\n", "no column is named path, url"),
        ("a.parquet", "no", "the manifest cannot be read"),
        ("a.txt", "\xff", "the manifest is not text in UTF-8"),
    ],
)
def test_an_input_that_cannot_be_listed(sod: Sod, images: Path, name: str, content: str | None, sentence: str):
    tmp_path = images.parent
    folder = tmp_path / "bad"
    folder.mkdir()
    if content == "":
        (folder / name).mkdir()
    elif content is not None:
        (folder / name).write_bytes(content.encode("latin-1"))
    code, error = sod(folder / name, images, tmp_path / "out")
    assert code == 1
    assert sentence in error.splitlines()[0]
    assert "1 failed (1 not listed)" in error.splitlines()[1]
    assert len(rows(tmp_path / "out")) == 12


def test_no_server(sod: Sod, images: Path, tmp_path: Path, nowhere: str):
    code, error = sod(images, tmp_path / "out", "--retries", 0, url=nowhere)
    assert code == 3
    assert error.count("\n") == 1


def test_a_server_that_dies_ends_the_run_and_keeps_the_rows(sod: Sod, images: Path, tmp_path: Path, server: FakeServer):
    out, left = tmp_path / "out", [5]

    def reply(body):
        if body is not None:
            left[0] -= 1
        return reply_by_content(body) if left[0] >= 0 else (0, b"")

    server.reply = reply
    code, _ = sod(images, out, "--retries", 0, "--max_in_flight", 1)
    assert code == 3
    server.reply = reply_by_content
    server.requests.clear()
    assert sod(images, out)[0] == 0
    assert len([body for _, body in server.requests if body]) == 7
    sod(images, tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")


def test_a_full_disk(sod: Sod, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    sod(images / "flight0", out)
    before = files(out)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sod_client._archives.dataset.place.os.fsync", full)
        code, error = sod(images, out)
    assert code == 1
    assert error == f"sod: {out} cannot be written: No space left on device\n"
    assert files(out) == before
    assert sod(images, out)[0] == 0
    assert len(rows(out)) == 12


def test_several_servers_share_the_work(sod: Sod, tmp_path: Path, server: FakeServer, images: Path):
    other = FakeServer()
    other.reply = reply_by_content
    try:
        write_images(images, 60)
        assert sod(images, tmp_path / "out", "--url", other.url, "--max_in_flight", 2)[0] == 0
        counts = [len([body for _, body in one.requests if body]) for one in (server, other)]
        assert sum(counts) == 60
        assert min(counts) > 10
        other.reply = lambda body: reply_by_content(body) if body is None else (0, b"")
        assert sod(images, tmp_path / "two", "--url", other.url, "--retries", 0)[0] == 0
        assert files(tmp_path / "two") == files(tmp_path / "out")
    finally:
        other.close()


def test_run_json_says_what_the_rows_depend_on(sod: Sod, images: Path, tmp_path: Path):
    sod(images, tmp_path / "out", "--classes", "car")
    run = json.loads((tmp_path / "out/_sod/run.json").read_text())
    assert (run["model"], run["labels"], run["classes"], run["thresholds"]) == ("demo", LABELS, [1], "null")


def test_an_output_in_the_input(sod: Sod, images: Path):
    assert sod(images, images / "out", "--report")[0] == 0
    assert sod(images, images / "out", "--report")[0] == 0
    assert len(rows(images / "out")) == 12


def test_an_output_that_is_no_dataset(sod: Sod, images: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    code, error = sod(images, tmp_path / "file")
    assert (code, error) == (1, f"sod: {tmp_path}/file cannot be written: Not a directory\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/images-00000.parquet").write_bytes(b"mine")
    code, error = sod(images, tmp_path / "other", "--restart")
    assert code == 1
    assert "has images-00000.parquet, which is not of `sod batch`" in error
    assert (tmp_path / "other/images-00000.parquet").read_bytes() == b"mine"
    assert sod(images, "https://example.com/out")[0] == 2


def test_odd_files(sod: Sod, tmp_path: Path):
    """A pipe is not read, a broken link is a failed row, and a name that is not UTF-8 is written with escapes."""
    folder = tmp_path / "odd"
    folder.mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "link.jpg").symlink_to("nowhere.jpg")
    (Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg"))).write_bytes(jpeg())
    assert sod(folder, tmp_path / "out")[0] == 1
    found = [(Path(row["path"]).name, row["error_kind"]) for row in rows(tmp_path / "out")]
    assert found == [("caf\\udce9.jpg", None), ("link.jpg", "missing")]


def test_an_image_that_the_server_does_not_take_is_read_in_windows(
    sod: Sod, tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("rasterio")
    for module in ("_inputs.scenes", "_archives.run.images"):
        monkeypatch.setattr(f"sod_client.{module}.MAX_PIXELS", 2**20)
    Image.new("L", (1500, 1400)).save(tmp_path / "huge.png")
    assert sod(tmp_path / "huge.png", tmp_path / "out") == (0, "")
    (row,) = rows(tmp_path / "out")
    assert (row["width"], row["height"], row["status"]) == (1500, 1400, "ok")
    assert len([body for _, body in server.requests if body]) == 10  # 3 by 3 windows, and the whole image


def test_a_pool_of_parts_is_merged(sod: Sod, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Many small parts, and many small files, give the same rows."""
    write_images(images, 80)
    sod(images, tmp_path / "one")
    monkeypatch.setattr("sod_client._archives.run.collect.PART_ROWS", 1)
    monkeypatch.setattr("sod_client._archives.dataset.dataset.FAN_IN", 3)
    monkeypatch.setattr("sod_client._archives.dataset.merge.GROUP_ROWS", 7)
    monkeypatch.setattr("sod_client._archives.dataset.dataset.FILE_ROWS", 20)
    sod(images, tmp_path / "many")
    assert len(files(tmp_path / "many")) == 4
    assert rows(tmp_path / "many") == rows(tmp_path / "one")
    assert not list((tmp_path / "many/_sod/parts").iterdir())

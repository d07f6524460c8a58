"""A folder that fills: what is there, and what is added, each once and whole."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sod_client import ConnectionFailedError, MissingFileError, Pipeline, UnreadableFileError, create_pipeline
from sod_client._streams import call
from sod_client.cli import main

from tests.clients.conftest import FakeServer, jpeg


def test_a_file_counts_when_its_writer_has_closed_it(tmp_path: Path, pipeline: Pipeline) -> None:
    (tmp_path / "b.jpg").write_bytes(jpeg())
    (tmp_path / "a.jpg").write_bytes(jpeg())
    (tmp_path / "notes.txt").write_text("no image")
    results = pipeline.watch(tmp_path)
    assert [Path(next(results).input_path or "").name for _ in range(2)] == ["a.jpg", "b.jpg"]

    def write() -> None:
        with (tmp_path / "c.jpg").open("wb") as file:
            content = jpeg(800, 600)
            file.write(content[:500])
            file.flush()
            time.sleep(0.4)
            file.write(content[500:])
        (tmp_path / "hidden.tmp").write_bytes(jpeg())
        (tmp_path / "hidden.tmp").rename(tmp_path / "d.jpg")

    threading.Thread(target=write, daemon=True).start()
    added = [next(results) for _ in range(2)]
    assert [Path(result.input_path or "").name for result in added] == ["c.jpg", "d.jpg"]
    assert added[0].size == (800, 600)
    assert added[0].page_index is None
    results.close()
    pipeline.close()


def test_once_reads_what_is_there(tmp_path: Path, pipeline: Pipeline) -> None:
    assert list(pipeline.watch(tmp_path, once=True)) == []
    (tmp_path / "a.png").write_bytes(jpeg())
    assert len(list(pipeline.watch(tmp_path, once=True))) == 1
    pipeline.close()


def test_a_bad_image_is_left_out_and_a_removed_folder_ends_it(tmp_path: Path, pipeline: Pipeline) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg())
    notes: list[str] = []
    results = pipeline.watch(folder, on_note=notes.append)
    next(results)
    (folder / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 30)
    (folder / "c.jpg").write_bytes(jpeg())
    assert Path(next(results).input_path or "").name == "c.jpg"
    assert "b.heic: frame 1 was left out" in notes[0]
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(MissingFileError, match="the folder was removed"):
        next(results)
    pipeline.close()


def test_a_folder_that_cannot_be_read_is_the_sources_error(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UnreadableFileError, match="the folder cannot be read: Permission denied"):
        next(pipeline.watch(tmp_path))


def test_closing_the_pipeline_ends_a_folder_to_which_nothing_is_added(tmp_path: Path, pipeline: Pipeline) -> None:
    """A generator that waits in another thread has no other end."""
    threading.Timer(0.3, pipeline.close).start()
    with pytest.raises(ConnectionFailedError, match="the pipeline was closed"):
        next(pipeline.watch(tmp_path))


def test_images_wait_for_a_server_that_is_away(
    tmp_path: Path, detector: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "_AGAIN_S", 0.05)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(jpeg())
    answer, refusals = detector.reply, []

    def reply(body: Any) -> Any:
        if body is not None and len(refusals) < 4:
            refusals.append(503)
            return 503, b"{}"
        return answer(body)

    detector.reply = reply
    notes: list[str] = []
    with create_pipeline(url=detector.url, retries=0) as pipeline:
        results = pipeline.watch(tmp_path, on_note=notes.append)
        names = [Path(next(results).input_path or "").name for _ in range(3)]
        results.close()
    assert names == ["a.jpg", "b.jpg", "c.jpg"]
    assert len(refusals) == 4
    assert all("it is sent again" in note for note in notes)


def test_once_without_a_server_is_no_success(tmp_path: Path, nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    code = main(["watch", str(tmp_path), "--once", "--url", nowhere, "--retries", "0"])
    out, err = capsys.readouterr()
    assert (code, out) == (3, "")
    assert err.startswith("sod: cannot reach")

"""A folder that fills: what is there, and what is added, each once and whole."""

import threading
import time
from pathlib import Path

import pytest
from sod_client import ConnectionFailedError, MissingFileError, Pipeline, UnreadableFileError

from tests.clients.conftest import jpeg


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

"""A scene whose detection was interrupted goes on where it ended, and gives the same."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sod_client.cli import main
from sod_client.errors import InvalidConfigError, ServerError
from sod_client.pipeline import Pipeline, create_pipeline

from tests.clients import full_disk
from tests.clients.conftest import FakeServer, Reply
from tests.clients.scenes.scene_server import detect, field, found, spread, write

WIDTH, HEIGHT = 1400, 1100
BOXES = spread(WIDTH, HEIGHT, 60, seed=2)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES))


def slices_sent(server: FakeServer) -> int:
    return sum(body is not None for _, body in server.requests)


def total_of(pipeline: Pipeline, server: FakeServer, scene: Path) -> int:
    list(pipeline.predict(scene, slice_infer=True))
    count = slices_sent(server)
    server.requests.clear()
    return count


def failing_after(count: int) -> Callable[[Any], Reply]:
    """A reply of the detector for so many slices, and then an error."""
    left = [count]

    def reply(body: Any) -> Reply:
        if body is not None:
            left[0] -= 1
            if left[0] < 0:
                return 500, json.dumps({"logId": "7", "errorCode": 500, "errorMsg": "out of memory"}).encode()
        return detect(body)

    return reply


def test_a_slice_that_fails_fails_the_scene_and_resume_repeats_only_what_is_missing(
    pipeline: Pipeline, spots: FakeServer, scene: Path, tmp_path: Path
) -> None:
    total = total_of(pipeline, spots, scene)
    spots.reply = failing_after(20)
    options: dict[str, Any] = {"slice_infer": True, "journal": tmp_path / "journal"}
    with pytest.raises(ServerError, match=r"scene.tif: .*out of memory.* \(the slice at \(\d+, \d+\) of 256 x 256"):
        list(pipeline.predict(scene, **options))
    spots.reply = detect
    spots.requests.clear()
    done: list[tuple[int, int]] = []
    (result,) = pipeline.predict(scene, **options, resume=True, on_slice=lambda *now: done.append(now))
    assert found(result) == BOXES
    assert slices_sent(spots) <= total - 20 + 1
    assert done[0] == (0, total)
    assert done[-1] == (total, total)
    spots.requests.clear()
    (again,) = pipeline.predict(scene, **options, resume=True)
    assert again == result
    assert slices_sent(spots) == 0
    (anew,) = pipeline.predict(scene, **options)
    assert anew == result
    assert slices_sent(spots) == total


def test_a_line_that_was_not_finished_is_dropped(pipeline: Pipeline, scene: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"slice_infer": True, "journal": tmp_path / "journal"}
    (whole,) = pipeline.predict(scene, **options)
    (journal,) = (tmp_path / "journal").glob("*.jsonl")
    content = journal.read_bytes()
    assert (tmp_path / "journal/.gitignore").read_text() == "*\n"
    for end in (0, 10, len(content) // 2, len(content) - 1):
        journal.write_bytes(content[:end])
        (result,) = pipeline.predict(scene, **options, resume=True)
        assert result == whole
        assert journal.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": 0.4}, "the threshold or other options of the request are others"),
        ({"overlap_ratio": 0.1}, "the options of slices are others"),
        ({"combine_method": "nmm"}, "the options of slices are others"),
        ({"bands": (3, 2, 1)}, "the bands or the stretch are others"),
        ({"model": "other"}, "the model is another one"),
        ({}, "the file has changed"),
    ],
)
def test_another_file_model_or_option_is_refused(
    pipeline: Pipeline, scene: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    options: dict[str, Any] = {"slice_infer": True, "journal": tmp_path / "journal", "slice_size": 256}
    list(pipeline.predict(scene, **options))
    if not change:
        write(scene, field(WIDTH, HEIGHT, BOXES[1:]))
    with pytest.raises(InvalidConfigError, match=f"scene.tif: --resume: {said} since the run was interrupted"):
        list(pipeline.predict(scene, **options | change, resume=True))


def test_resume_and_bands_need_what_they_need(pipeline: Pipeline, scene: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="resume needs journal"):
        pipeline.predict(scene, slice_infer=True, resume=True)
    with pytest.raises(InvalidConfigError, match="resume has an effect only with slice_infer=True"):
        pipeline.predict(scene, resume=True, journal=tmp_path)
    with pytest.raises(InvalidConfigError, match="bands has an effect only with slice_infer=True"):
        pipeline.predict(scene, bands=(3, 2, 1))
    with pytest.raises(InvalidConfigError, match=r"bands must be one number, or three .*, not \(1, 2\)"):
        pipeline.predict(scene, slice_infer=True, bands=(1, 2))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_command_goes_on(
    spots: FakeServer, scene: Path, tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(scene), "--slice_infer", "--url", spots.url, "--save_path"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    total = slices_sent(spots)
    spots.requests.clear()

    def slow(body: Any) -> Reply:
        time.sleep(0.1)
        return detect(body)

    spots.reply = slow
    out = tmp_path / "out"
    program = [sys.executable, "-m", "sod_client.cli", *command, str(out)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while slices_sent(spots) < 20:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    if number == signal.SIGINT:
        assert said.startswith("sod: interrupted after 0 images and ")
        assert f" of {total} slices of the next: the same command with --resume goes on" in said
    assert "Traceback" not in said
    (journal,) = (out / ".sod-journal").glob("*.jsonl")
    kept = len(journal.read_bytes().split(b"\n")) - 2
    assert kept >= 8
    spots.reply = detect
    spots.requests.clear()
    assert main([*command, str(out), "--resume"]) == 0
    assert total - kept - 1 <= slices_sent(spots) <= total - kept
    for name in ("scene_res.json", "scene_res.geojson", "scene_res.jpg"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not journal.exists()
    assert "sod:" not in capsys.readouterr().err


def test_a_full_disk_fails_the_scene_and_not_the_images_behind_it(
    spots: FakeServer, scene: Path, tmp_path: Path
) -> None:
    small = write(tmp_path / "small.tif", field(100, 100, []))
    command = [sys.executable, "-m", "sod_client", "predict", str(scene), str(small), "--url", spots.url]
    options = ["--slice_infer", "--save_path", str(tmp_path / "out"), "--save", "csv", "--format", "text"]
    done = full_disk.run([*command, *options], largest=700)  # the journal does not fit
    assert done.returncode == 1
    assert f"{scene}: the journal cannot be written to" in done.stderr
    assert "1 image, 0 objects, 1 failed" in done.stderr
    assert done.stdout.startswith(str(small))


def test_two_processes_do_not_write_one_journal(pipeline: Pipeline, scene: Path, tmp_path: Path) -> None:
    import fcntl

    options: dict[str, Any] = {"slice_infer": True, "journal": tmp_path / "journal"}
    list(pipeline.predict(scene, **options))
    (journal,) = (tmp_path / "journal").glob("*.jsonl")
    file = os.open(journal, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InvalidConfigError, match="another process is detecting this scene"):
            list(pipeline.predict(scene, **options, resume=True))
    finally:
        os.close(file)


def test_a_call_that_ends_early_ends_its_scene(spots: FakeServer, scene: Path) -> None:
    def slow(body: Any) -> Reply:
        time.sleep(0.05)
        return detect(body)

    spots.reply = slow
    with create_pipeline(url=spots.url) as pipeline:
        small = scene.with_name("small.tif")
        write(small, field(200, 200, []))
        results = pipeline.predict([small, scene], slice_infer=True)
        next(results)
        results.close()  # type: ignore[attr-defined]
        time.sleep(0.5)
        sent = slices_sent(spots)
        time.sleep(0.5)
        assert slices_sent(spots) == sent < 20

"""What a killed launcher has left is removed by the next one, what lives never; and where temporary files go."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.errors import ServerError
from server.process import work_folder as work_folder_module
from server.process.leftovers import claim, live_claims, remove_leftovers
from server.process.work_folder import is_safe, work_folder

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from server.process.leftovers import claim
with claim(Path(sys.argv[1]), {"pid": 1}) as claimed:
    (claimed.folder / f"{claimed.prefix}region").write_bytes(b"x")
    (claimed.folder / f"{claimed.prefix}run").mkdir()
    (claimed.folder / f"{claimed.prefix}run/file").touch()
    if sys.argv[2:] == ["child"]:
        child = subprocess.Popen(["sleep", "3600"], stdout=subprocess.DEVNULL, pass_fds=[claimed.descriptor])
        print(child.pid, flush=True)
    print("held", flush=True)
    time.sleep(3600)
"""


def hold(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLDER, str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def said(holder: "subprocess.Popen[str]") -> str:
    assert holder.stdout is not None
    return holder.stdout.readline().strip()


def kill(holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.communicate()


def test_a_claim_leaves_nothing(tmp_path):
    with claim(tmp_path) as claimed:
        assert re.fullmatch(rf"sod-{os.getpid()}-[0-9a-f]{{8}}-", claimed.prefix)
        (tmp_path / f"{claimed.prefix}region").touch()
        (tmp_path / "sod-1-other").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["sod-1-other"]


def test_a_claim_that_ends_with_an_error_leaves_nothing(tmp_path):
    def fail() -> None:
        with claim(tmp_path) as claimed:
            (tmp_path / f"{claimed.prefix}run").mkdir()
            raise ServerError("no")

    with pytest.raises(ServerError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_dead_are_removed_and_the_living_kept(tmp_path):
    dead, alive = hold(tmp_path), hold(tmp_path)
    assert said(dead) == said(alive) == "held"
    kill(dead)
    try:
        assert len(remove_leftovers(tmp_path)) == 1
        names = {path.name.removeprefix(f"sod-{alive.pid}-")[8:] for path in tmp_path.iterdir()}
        assert names == {".lock", "-region", "-run"}
        assert live_claims(tmp_path) == [{"pid": 1}]
    finally:
        kill(alive)
    with claim(tmp_path) as claimed:
        assert [path.name for path in tmp_path.iterdir()] == [f"{claimed.prefix[:-1]}.lock"]
    assert live_claims(tmp_path) == []


def test_a_child_that_lives_on_keeps_what_it_uses(tmp_path):
    holder = hold(tmp_path, "child")
    child = int(said(holder))
    assert said(holder) == "held"
    holder.kill()
    holder.communicate()
    assert remove_leftovers(tmp_path) == []
    os.kill(child, signal.SIGKILL)
    until = time.monotonic() + 10
    while not (removed := remove_leftovers(tmp_path)) and time.monotonic() < until:
        time.sleep(0.02)
    assert len(removed) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user, which only root may")
def test_another_user_s_files_are_left_alone(tmp_path):
    lock = tmp_path / "sod-1-abcdef01.lock"
    region = tmp_path / "sod-1-abcdef01-region"
    for path in (lock, region):
        path.touch()
        os.chown(path, 65534, 65534)
    assert remove_leftovers(tmp_path) == []
    assert lock.exists()
    assert region.exists()


def test_a_link_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "sod-1-abcdef01.lock").touch()
    (folder / "sod-1-abcdef01-run").symlink_to(elsewhere)
    assert len(remove_leftovers(folder)) == 1
    assert (elsewhere / "file").exists()


@pytest.mark.parametrize(
    ("path", "safe"), [("/tmp/a.b-c_d", True), ("/tmp/a b", False), ("/tmp/größe", False), ("/tmp/$(x)", False)]
)
def test_which_paths_stand_in_a_line_of_shell(path, safe):
    assert is_safe(Path(path)) is safe


def test_the_first_place_that_will_do(tmp_path):
    unfit = tmp_path / "with a space"
    unfit.mkdir()
    fit = tmp_path / "fit"
    fit.mkdir()
    with work_folder(programs=True, candidates=[unfit, tmp_path / "absent", fit]) as (folder, claimed):
        assert folder.parent == fit
        assert folder.stat().st_mode & 0o777 == 0o700
        assert claimed.folder == fit
    assert list(fit.iterdir()) == []


def test_without_a_place_the_reasons_and_the_setting_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(work_folder_module, "_ROOM_BYTES", 2**60)
    unfit = tmp_path / "with a space"
    places = [unfit, tmp_path / "absent", tmp_path]
    with pytest.raises(ServerError) as caught, work_folder(programs=True, candidates=places):
        pass
    text = str(caught.value)
    assert f"{unfit} has a space or a special letter in its path; " in text
    assert f"{tmp_path / 'absent'} is not there; " in text
    assert re.search(r" MB free\. Set TMPDIR to one that is writable, has 16 MB free ", text)


def test_tmpdir_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with work_folder(programs=False) as (folder, _):
        assert folder.parent == tmp_path

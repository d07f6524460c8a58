"""The SHA-256 of the model's weights in the rows, and servers that tell another one, or none."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from sod_client.cli import main

from tests.clients.archives.conftest import Sod, files, reply_by_content, rows, write_images
from tests.clients.archives.test_interruptions import start, wait_for
from tests.clients.conftest import FakeServer, Reply, jpeg

A, B = "a" * 64, "b" * 64


def serve(server: FakeServer, sha256: str | None) -> None:
    """Have a server tell this hash of its model; None is a server that tells none."""

    def reply(body: Any) -> Reply:
        status, content, *_ = reply_by_content(body)
        if body is None:
            described = json.loads(content)
            described["result"]["models"][0]["sha256"] = sha256
            content = json.dumps(described).encode()
        return status, content

    server.reply = reply


def hashes(output: Path) -> list[str | None]:
    return [row["model_sha256"] for row in rows(output)]


def of_run(output: Path) -> str | None:
    return json.loads((output / "_sod/run.json").read_text())["model_sha256"]


@pytest.fixture
def other() -> Any:
    fake = FakeServer()
    yield fake
    fake.close()


def test_rows_have_the_hash_that_the_server_tells(sod: Sod, images: Path, tmp_path: Path, server: FakeServer):
    serve(server, A)
    assert sod(images, tmp_path / "out")[0] == 0
    assert hashes(tmp_path / "out") == [A] * 12
    assert of_run(tmp_path / "out") == A


def test_servers_with_different_weights_are_refused(
    images: Path, tmp_path: Path, server: FakeServer, other: FakeServer, capsys: pytest.CaptureFixture[str]
):
    serve(server, A)
    serve(other, B)
    arguments = ["batch", str(images), str(tmp_path / "out"), "--url", server.url, "--url", other.url]
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"sod: the servers have different weights of demo: {server.url} has a model file with the SHA-256 {A}, and "
        f"{other.url} one with {B}: serve the same file on all, or give one of them\n"
    )
    assert not (tmp_path / "out/_sod/run.json").exists()
    serve(other, A)
    assert main(arguments) == 0
    assert hashes(tmp_path / "out") == [A] * 12


def test_the_hash_is_not_known_if_one_of_the_servers_does_not_tell_it(
    images: Path, tmp_path: Path, server: FakeServer, other: FakeServer
):
    serve(server, A)
    serve(other, None)
    assert main(["batch", str(images), str(tmp_path / "out"), "--url", server.url, "--url", other.url]) == 0
    assert hashes(tmp_path / "out") == [None] * 12


def test_a_dataset_of_other_weights_is_refused(sod: Sod, images: Path, tmp_path: Path, server: FakeServer):
    out = tmp_path / "out"
    serve(server, A)
    sod(images, out)
    before = files(out)
    serve(server, B)
    code, error = sod(images, out)
    assert code == 2
    assert error == (
        f"sod: {out} was made with a model file with the SHA-256 {A}, and this run has {B}: choose another OUTPUT, or "
        "pass --restart, which removes its rows and detects every image again\n"
    )
    assert files(out) == before
    assert sod(images, out, "--restart")[0] == 0
    assert hashes(out) == [B] * 12


def test_a_hash_that_is_not_known_on_one_side_does_not_matter(
    sod: Sod, images: Path, tmp_path: Path, server: FakeServer
):
    out = tmp_path / "out"
    serve(server, None)
    sod(images / "flight0", out)
    serve(server, A)
    assert sod(images, out)[0] == 0
    assert hashes(out) == [None] * 6 + [A] * 6, "the first rows are of weights that nobody knows"
    assert of_run(out) == A
    for name in ("flight0/0012.jpg", "flight1/0013.jpg"):
        (images / name).write_bytes(jpeg())
    serve(server, None)
    assert sod(images, out)[0] == 0
    assert hashes(out) == [*([None] * 6), None, *([A] * 6), None]
    assert of_run(out) == A
    serve(server, B)
    assert sod(images, out)[0] == 2, "some rows are of other weights"


def test_a_run_that_goes_on_gives_the_same_files(sod: Sod, tmp_path: Path, server: FakeServer):
    images = write_images(tmp_path / "images", 60)
    serve(server, A)
    sod(images, tmp_path / "undisturbed")
    process = start(images, tmp_path / "out", "--threshold", "0.3", "--url", server.url)
    wait_for(process, server, 60 + 25)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not files(tmp_path / "out"), "the run was to be killed before its end"
    assert sod(images, tmp_path / "out", "--threshold", "0.3")[0] == 0
    sod(images, tmp_path / "undisturbed", "--threshold", "0.3", "--restart")
    assert files(tmp_path / "out") == files(tmp_path / "undisturbed")


def test_weights_that_are_loaded_while_a_run_works_end_it(
    sod: Sod, tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sod_client._archives.run.collect.LOCAL_S", 0.0)
    out, images = tmp_path / "out", write_images(tmp_path / "images", 40)
    detected = 0

    def reply(body: Any) -> Reply:
        nonlocal detected
        if body is not None:
            detected += 1
            if detected == 20:
                serve_models(B)
            return reply_by_content(body)
        return models(body)

    def serve_models(sha256: str) -> None:
        nonlocal models
        serve(server, sha256)
        models, server.reply = server.reply, reply

    models = server.reply
    serve_models(A)
    code, error = sod(images, out, "--max_in_flight", "1")
    assert code == 2
    assert error.splitlines()[-1] == (
        f"sod: {server.url} has loaded other weights of demo while this run worked: a model file with the SHA-256 {B}, "
        f"before {A}. The dataset holds what was detected before, except for the last seconds: choose another OUTPUT, "
        "or pass --restart"
    )
    assert detected < 40, "it ends soon"
    serve_models(A)
    assert sod(images, out)[0] == 0
    assert hashes(out) == [A] * 40
    assert 40 < detected < 80, "the rows before were kept"


def test_a_server_that_does_not_say_what_it_has_now_ends_no_run(
    sod: Sod, images: Path, tmp_path: Path, server: FakeServer
):
    serve(server, A)
    tells, asked = server.reply, 0

    def reply(body: Any) -> Reply:
        nonlocal asked
        asked += body is None
        return tells(body) if body is not None or asked == 1 else (500, b"")

    server.reply = reply
    assert sod(images, tmp_path / "out", "--retries", "0")[0] == 0
    assert asked > 1
    assert hashes(tmp_path / "out") == [A] * 12

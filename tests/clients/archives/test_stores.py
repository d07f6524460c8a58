"""Object stores and web servers: an S3 server of moto, and a web server that fails in every way."""

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.clients.archives.conftest import Sod, files, reply_by_content, rows
from tests.clients.conftest import FakeServer, jpeg


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """The file system of an S3 server, whose bucket is called survey."""
    s3fs = pytest.importorskip("s3fs")
    server_of_moto = pytest.importorskip("moto.server")
    from sod_client._archives.inputs import stores

    server = server_of_moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        system = s3fs.S3FileSystem(use_listings_cache=False)
        system.mkdir("survey")
        yield system
    stores.file_system.cache_clear()
    server.stop()


@pytest.fixture
def flights(s3: Any, images: Path) -> Iterator[str]:
    """The images, and a shard of two more, in the bucket."""
    s3.put(f"{images}/", "survey/flights/", recursive=True)
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as tar:
        for number in range(2):
            info = tarfile.TarInfo(f"{number}.jpg")
            content = jpeg(70, 40 + number)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    s3.pipe("survey/flights/shard.tar", shard.getvalue())
    yield "s3://survey/flights"
    s3.rm("survey/flights", recursive=True)


def downloaded(s3: Any, output: str) -> dict[str, bytes]:
    names = s3.glob(f"{output}/images-*.parquet")
    return {name.rsplit("/", 1)[-1]: content for name, content in s3.cat(names).items()}


def test_from_s3_to_s3(sod: Sod, s3: Any, flights: str, tmp_path: Path, server: FakeServer):
    assert sod(flights, "s3://survey/out") == (0, "")
    assert sod(f"{flights}/**/*.jpg", f"{flights}/shard.tar", tmp_path / "out") == (0, "")
    assert downloaded(s3, "survey/out") == files(tmp_path / "out")
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found[-2:]] == [f"{flights}/shard.tar/{number}.jpg" for number in range(2)]
    assert len(found) == 14
    assert found[0]["version"] == s3.info(found[0]["path"])["ETag"].strip('"')
    server.requests.clear()
    s3.pipe(f"{flights}/flight0/0000.jpg", jpeg(99, 99))
    assert sod(flights, "s3://survey/out") == (0, "")
    assert len([body for _, body in server.requests if body]) == 1
    assert s3.glob("survey/out/_sod/parts/*") == []


def test_a_second_writer_in_s3(sod: Sod, s3: Any, flights: str):
    import time

    held = {"id": "other", "host": "elsewhere", "process": 7, "renewed": time.time()}
    s3.pipe("survey/locked/_sod/lock", json.dumps(held).encode())
    code, error = sod(flights, "s3://survey/locked")
    assert code == 2
    assert "s3://survey/locked is being written by process 7 on elsewhere" in error
    s3.pipe("survey/locked/_sod/lock", json.dumps({**held, "renewed": time.time() - 90}).encode())
    assert sod(flights, "s3://survey/locked") == (0, "")
    assert not s3.exists("survey/locked/_sod/lock")


@pytest.mark.parametrize("place", ["input", "output"])
@pytest.mark.usefixtures("s3")
def test_a_bucket_without_permission(sod: Sod, flights: str, images: Path, place: str):
    from sod_client._archives.inputs import stores

    def refuse(*_: object, **__: object) -> Any:
        raise PermissionError("Access Denied")

    inputs, output = (
        ((flights, images), images.parent / "out") if place == "input" else ((images,), "s3://survey/forbidden")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores.file_system("s3"), "_call_s3", refuse)
        code, error = sod(*inputs, output)
    if place == "input":
        assert "s3://survey/flights: may not be listed: the object store refuses access" in error.splitlines()[0]
        assert len(rows(images.parent / "out")) == 12
    else:
        assert error.startswith("sod: s3://survey/forbidden cannot be ")
        assert error.count("\n") == 1
    assert code == 1


@pytest.mark.usefixtures("s3")
def test_no_such_bucket(sod: Sod, tmp_path: Path):
    code, error = sod("s3://nowhere/flights", tmp_path / "out")
    assert code == 1
    assert error.startswith("sod: s3://nowhere/flights: ")
    assert "Traceback" not in error


@pytest.fixture
def web() -> Iterator[str]:
    """A web server with images that fail at first, always, or in the middle."""
    asked: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            count = asked[self.path] = asked.get(self.path, 0) + 1
            content, status = jpeg(60, 50), 200
            if self.path == "/overloaded.jpg" or (self.path == "/slow.jpg" and count in (1, 2, 4)):
                status = 503
            elif self.path.startswith("/expired.jpg"):
                status = 403
            elif self.path == "/gone.jpg":
                status = 404
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                is_torn = self.path == "/torn.jpg" or (self.path == "/once.jpg" and count == 2)
                self.wfile.write(content[: len(content) // 2] if is_torn else content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_web_server_that_fails(sod: Sod, web: str, tmp_path: Path, server: FakeServer):
    server.reply = reply_by_content
    names = ("slow", "once", "overloaded", "torn", "gone", "expired")
    urls = [f"{web}/{name}.jpg{'?signature=1' if name == 'expired' else ''}" for name in names]
    (tmp_path / "urls.txt").write_text("\n".join(urls))
    code, error = sod(tmp_path / "urls.txt", tmp_path / "out")
    assert code == 1
    assert "4 failed (3 fetch, 1 missing)" in error
    found = {row["path"].rsplit("/", 1)[-1].split(".")[0]: row for row in rows(tmp_path / "out")}
    assert [found[name]["status"] for name in ("slow", "once")] == ["ok", "ok"]
    assert found["overloaded"]["error"] == "cannot be fetched, after 4 attempts: the host answered 503"
    assert found["torn"]["error"].startswith("cannot be fetched, after 4 attempts: peer closed connection")
    assert found["gone"]["error"] == "cannot be fetched: the host answered 404"
    assert found["expired"]["error"] == "cannot be fetched: the host answered 403; the link may have expired"

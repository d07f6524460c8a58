"""The client programs in seven languages, built and run by the commands in clients/README.md."""

import base64
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.clients.tls_terminator import make_certificate, tls_terminator
from tests.e2e.clients.languages import CLIENTS, LANGUAGES, NEEDS, Program, build, missing, rows
from tests.e2e.started_server import Serving

UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
JPEG = b"\xff\xd8 the image"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Program]:
    """Build a language's program, once."""
    programs: dict[str, Program] = {}

    def get(language: str) -> Program:
        if language not in programs:
            programs[language] = build(language, tmp_path_factory.mktemp("language") / "program")
        return programs[language]

    return get


@pytest.fixture(scope="module", params=LANGUAGES)
def program(request: pytest.FixtureRequest, built) -> Program:
    return built(request.param)


@pytest.fixture(scope="module")
def image_path(tmp_path_factory: pytest.TempPathFactory, image: bytes) -> Path:
    """An image in which the server finds objects."""
    path = tmp_path_factory.mktemp("image") / "ein Bild.jpg"
    path.write_bytes(image)
    return path


class Web:
    """A server that answers every POST with `status` and `body`, and records paths, headers and documents in `got`."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.got: list[tuple[str, dict[str, str], Any]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["content-length"])))
                web.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, document))
                self.send_response(web.status)
                self.send_header("content-length", str(len(web.body)))
                self.end_headers()
                self.wfile.write(web.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answers(self, body: bytes | object, status: int = 200) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    with web.server:
        thread = threading.Thread(target=web.server.serve_forever, args=(0.05,))
        thread.start()
        yield web
        web.server.shutdown()
        thread.join()


def success(*objects: dict[str, Any]) -> dict[str, Any]:
    result = {"detectedObjects": list(objects), "image": base64.b64encode(JPEG).decode()}
    return {"logId": "mine", "errorCode": 0, "errorMsg": "Success", "result": result}


def assert_failed(done: Any, output: Path, *words: str) -> None:
    """One sentence on stderr with these words, nothing on stdout, exit code 1, nothing written."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert re.fullmatch(r"detect: [^\n]+\n", done.stderr), done.stderr
    for word in words:
        assert word in done.stderr
    assert not output.is_file()


def test_all_print_the_servers_detections_and_save_its_overlay(server: Serving, built, image_path, tmp_path):
    here = [language for language in LANGUAGES if not missing(language)]
    found = {}
    for language in here:
        output = tmp_path / f"{len(found)}.jpg"
        done = built(language)(image_path, server.url, output)
        assert (done.returncode, done.stderr) == (0, ""), (language, done)
        found[language] = (done.stdout.replace(str(output), "OUTPUT"), output.read_bytes())
    result = server.post(image_path.read_bytes()).json()["result"]
    objects = result["detectedObjects"]
    assert objects, "nothing to compare"
    printed, overlay = found["Python"]
    for language, same in found.items():
        assert same[0].splitlines() == printed.splitlines(), language
        assert same[1] == overlay, language
    assert overlay == base64.b64decode(result["image"])
    with Image.open(BytesIO(overlay)) as drawn, Image.open(image_path) as source:
        assert (drawn.format, drawn.size) == ("JPEG", source.size)
    *lines, last = printed.splitlines()
    assert last == f"{len(objects)} objects, drawn in OUTPUT"
    for line, one in zip(lines, objects, strict=True):
        match = re.fullmatch(r"(\d+) (.+) (\d\.\d{3}) \[(.+)\]", line)
        assert match, line
        assert (int(match[1]), match[2]) == (one["categoryId"], one["categoryName"])
        numbers = [float(match[3]), *map(float, match[4].split(", "))]
        assert numbers == pytest.approx([one["score"], *one["bbox"]], abs=0.00051)
    for language in set(LANGUAGES) - set(here):
        built(language)  # skips, or fails with CI=true


def test_a_broken_image_is_refused_in_the_servers_words(server: Serving, program, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    message = server.post(broken.read_bytes()).json()["errorMsg"]
    done = program(broken, f"{server.url}/", tmp_path / "out.jpg")
    assert_failed(done, tmp_path / "out.jpg", f"the server answered 422: {message} (logId ")
    assert re.search(rf"\(logId {UUID}\)\n$", done.stderr)


def test_a_missing_file_and_a_folder_are_named(program, tmp_path):
    for path in (tmp_path / "absent.jpg", tmp_path):
        assert_failed(program(path, "http://127.0.0.1:9", tmp_path / "out.jpg"), tmp_path / "out.jpg", str(path))


def test_no_server_listens(program, image_path, tmp_path, free_ports):
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert_failed(program(image_path, url, tmp_path / "out.jpg"), tmp_path / "out.jpg", f"no answer from {url}")


def test_an_invalid_address_is_named(program, image_path, tmp_path):
    assert_failed(program(image_path, "htp://nonsense", tmp_path / "out.jpg"), tmp_path / "out.jpg", "htp://nonsense")


def test_a_server_that_does_not_answer(program, image_path, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = program(image_path, url, tmp_path / "out.jpg", SOD_TIMEOUT="1")
        assert_failed(done, tmp_path / "out.jpg", f"no answer from {url}")
        done = program(image_path, url, tmp_path / "out.jpg", SOD_TIMEOUT="soon")
        assert_failed(done, tmp_path / "out.jpg", "SOD_TIMEOUT is soon: give whole seconds, 1 to 999999")


def test_an_output_that_cannot_be_written_is_named(program, web, image_path, tmp_path):
    web.answers(success())
    done = program(image_path, web.url, tmp_path / "absent/out.jpg")
    assert_failed(done, tmp_path / "absent/out.jpg", str(tmp_path / "absent/out.jpg"))


@pytest.mark.parametrize("count", [0, 6])
def test_a_wrong_number_of_arguments_shows_the_usage(program, count):
    done = program(*["x"] * count)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"usage: .*IMAGE \[URL\] \[OUTPUT\] \[THRESHOLD\] \[MODEL\]\n", done.stderr)


def test_the_request(program, web, image_path):
    web.answers(success())
    done = program(image_path, f"{web.url}/behind/a/proxy/")
    assert (done.returncode, done.stdout) == (0, "0 objects, drawn in out.jpg\n")
    assert (program.folder / "out.jpg").read_bytes() == JPEG
    program(image_path, web.url, SOD_API_KEY="the-key")
    (path, headers, document), (_, with_key, _) = web.got
    assert path == "/behind/a/proxy/small-object-detection"
    assert document == {"image": base64.b64encode(image_path.read_bytes()).decode(), "visualize": True}
    assert headers["content-type"].startswith("application/json")
    assert "authorization" not in headers
    assert with_key["authorization"] == "Bearer the-key"


def test_an_authority_of_ones_own_is_trusted_as_the_readme_says(program, web, image_path, tmp_path):
    web.answers(success())
    certificate = make_certificate(tmp_path, names="IP:127.0.0.1,DNS:localhost")
    host = "localhost" if program.language == "C#" else "127.0.0.1"
    output = tmp_path / "out.jpg"
    with tls_terminator(certificate, web.server.server_address[1]) as port:
        url = f"https://{host}:{port}"
        assert_failed(program(image_path, url, output), output, f"no answer from {url}")
        assert not web.got
        done = program.trusting(certificate / "ca.pem", image_path, url, output)
    assert (done.returncode, done.stdout) == (0, f"0 objects, drawn in {output}\n"), done
    assert len(web.got) == 1


def test_threshold_and_model_are_sent(program, web, image_path, tmp_path):
    web.answers(success())
    output = tmp_path / "out.jpg"
    for threshold, model in (("0.25", "my-model"), (".5", ""), ("", "检测模型"), ("", "")):
        # Java reads arguments in the encoding of the locale, and that of the other tests may not be installed.
        assert program(image_path, web.url, output, threshold, model, LC_ALL="C.UTF-8").returncode == 0
    documents = [document for _, _, document in web.got]
    given = [{name: one[name] for name in ("threshold", "model") if name in one} for one in documents]
    assert given == [{"threshold": 0.25, "model": "my-model"}, {"threshold": 0.5}, {"model": "检测模型"}, {}]
    done = program(image_path, web.url, tmp_path / "none.jpg", "half")
    assert_failed(done, tmp_path / "none.jpg", "the threshold is half: give a number from 0 to 1")


def test_the_server_uses_threshold_and_model(server: Serving, program, image_path, tmp_path):
    models = [one["name"] for one in server.http.get("/models").json()["result"]["models"]]
    done = program(image_path, server.url, tmp_path / "out.jpg", "0.1", models[-1])
    response = server.post(image_path.read_bytes(), threshold=0.1, model=models[-1])
    assert done.stdout.splitlines()[-1].startswith(f"{len(response.json()['result']['detectedObjects'])} objects, ")
    assert_failed(
        program(image_path, server.url, tmp_path / "none.jpg", "0.1", "absent"), tmp_path / "none.jpg", "absent"
    )


def test_numbers_and_names_look_the_same_everywhere(program, web, image_path, tmp_path):
    # Halves, which the languages round differently by default; integers; exponents; non-Latin letters.
    one = {"bbox": [0.0625, 200, 1e2, 1234567.0005], "categoryId": 12, "categoryName": "行人 (klein)", "score": 0.9995}
    two = {"bbox": [1e-7, 0.1875, 0.3125, 0.4375], "categoryId": 3, "categoryName": "car", "score": 1}
    web.answers(success(one, two))
    if program.language == "Java":  # Java takes the country from LANG only if the C library has that locale
        program = Program("Java", program.folder, program.command.replace("java", "java -Duser.language=de", 1))
    done = program(image_path, web.url, tmp_path / "o.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "12 行人 (klein) 1.000 [0.063, 200.000, 100.000, 1234567.001]",
        "3 car 1.000 [0.000, 0.188, 0.313, 0.438]",
        f"2 objects, drawn in {tmp_path / 'o.jpg'}",
    ]


STRANGE = {
    "html": (502, b"<html><h1>Bad gateway</h1></html>"),
    "empty": (200, b""),
    "list": (200, []),
    "other server": (404, {"detail": "Not Found"}),
    "no result": (200, {"logId": "mine", "errorCode": 0, "errorMsg": "Success"}),
    "no image": (200, {**success(), "result": {"detectedObjects": []}}),
    "no box": (200, success({"categoryId": 1, "categoryName": "people", "score": 0.5})),
}


@pytest.mark.parametrize("reply", STRANGE)
def test_a_reply_that_is_not_the_servers(program, web, image_path, tmp_path, reply):
    status, body = STRANGE[reply]
    web.answers(body, status)
    sentence = f"{web.url}/small-object-detection answered HTTP {status} without detections: is it the right server?"
    assert_failed(program(image_path, web.url, tmp_path / "out.jpg"), tmp_path / "out.jpg", sentence)


def test_the_packages_are_the_same_in_the_table_the_readmes_and_the_list():
    assert list(rows()) == list(LANGUAGES)
    for language, row in rows().items():
        assert set(row.packages) == set(NEEDS[language].values()), language
        readme = (row.folder / "README.md").read_text()
        assert f"`apt-get install {' '.join(row.packages)}`" in readme
        assert row.build in readme
        assert f"`{row.run} IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]`" in readme
    debian = (CLIENTS / "debian-packages").read_text().split()
    every = {package for needs in NEEDS.values() for package in needs.values()}
    assert debian == sorted(every)

"""The demo page, Swagger UI, and their files."""

import html.parser
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from gateway.demo_page.routes import PALETTE_SIZE
from sod.drawing.palette import class_colour, text_colour

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "gateway/demo_page/static"
FILES = sorted(str(file.relative_to(PAGE)) for file in PAGE.rglob("*") if file.is_file())
STATIC = [name for name in FILES if not name.endswith(".html")]
TEXTS = [name for name in FILES if not name.endswith(".jpg")]
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
MAX_LINES = 400  # of a script or a style sheet
MAX_IMAGE_BYTES = 600_000
PAGES = ["/", "/docs"]


class _Links(html.parser.HTMLParser):
    """What a page refers to, and what a strict Content-Security-Policy would not let it do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        for name, value in attributes:
            if name in ("src", "href"):
                self.links.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")
        if tag == "style":
            self.inline.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._script = self._script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)


@pytest.mark.parametrize("path", PAGES)
async def test_pages_and_their_links_are_served(gateway: httpx.AsyncClient, path: str) -> None:
    answer = await gateway.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = _Links(answer.text)
    assert page.inline == []
    assert len(page.links) > 3
    for link in page.links:
        # Relative: the page works behind a proxy that serves it below a prefix.
        assert not link.startswith("/"), link
        found = await gateway.get(urljoin(f"http://gateway{path}", link))
        assert found.status_code == 200, link


async def test_every_imported_module_is_served(gateway: httpx.AsyncClient) -> None:
    seen, ahead = set(), {"/static/main.js"}
    while ahead:
        path = ahead.pop()
        seen.add(path)
        answer = await gateway.get(path)
        assert answer.status_code == 200, path
        imports = re.findall(r'^import [^"]*"([^"]+)";$', answer.text, re.MULTILINE)
        ahead |= {urljoin(path, name) for name in imports} - seen
    apart = {"/static/theme.js", "/static/docs/init.js"}
    assert seen | apart == {f"/static/{name}" for name in STATIC if name.endswith(".js")}


@pytest.mark.parametrize("name", STATIC)
async def test_files(gateway: httpx.AsyncClient, name: str) -> None:
    answer = await gateway.get(f"/static/{name}")
    assert answer.status_code == 200
    assert answer.content == (PAGE / name).read_bytes()
    assert answer.headers["content-type"] == TYPES[Path(name).suffix]


def test_files_are_small():
    lines = {name: len((PAGE / name).read_text("utf-8").splitlines()) for name in TEXTS}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}
    sizes = {name: (PAGE / name).stat().st_size for name in set(FILES) - set(TEXTS)}
    assert len(sizes) >= 3, "the page has no examples"
    assert max(sizes.values()) <= MAX_IMAGE_BYTES


@pytest.mark.parametrize("name", TEXTS)
def test_no_file_names_another_host(name: str) -> None:
    found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", (PAGE / name).read_text())
    names = {urlsplit(url).hostname for url in found}
    # A namespace, and links that only a user follows; neither is requested by the page.
    assert names <= {"www.w3.org", "creativecommons.org"}


@pytest.mark.parametrize("path", [*PAGES, "/static/main.js", "/static/docs/swagger-ui.css"])
async def test_files_have_an_etag_and_are_revalidated(gateway: httpx.AsyncClient, path: str) -> None:
    first = await gateway.get(path)
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = await gateway.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (await gateway.get(path, headers={"If-None-Match": '"other"'})).status_code == 200

    head = await gateway.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(first.content))


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/none.js",
        "/static/index.html",
        "/static/docs/index.html",
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
        "/static//etc/passwd",
        "/redoc",
    ],
)
async def test_nothing_else_is_served(gateway: httpx.AsyncClient, path: str) -> None:
    answer = await gateway.get(path)
    assert answer.status_code == answer.json()["errorCode"] == 404


async def test_pages_accept_only_get_and_head(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.post("/")
    assert answer.status_code == answer.json()["errorCode"] == 405


async def test_the_palette_has_the_colours_of_the_overlay(gateway: httpx.AsyncClient) -> None:
    colours = (await gateway.get("/static/palette.json")).json()["colours"]
    assert len(colours) == PALETTE_SIZE
    for class_id, pair in enumerate(colours):
        box = class_colour(class_id)
        for css, (blue, green, red) in zip(pair, (box, text_colour(box)), strict=True):
            assert css == f"#{red:02x}{green:02x}{blue:02x}"


async def test_the_pages_are_not_part_of_the_api(gateway: httpx.AsyncClient) -> None:
    paths = (await gateway.get("/openapi.json")).json()["paths"]
    assert not {path for path in paths if path in PAGES or path.startswith("/static")}


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css"])
async def test_swagger_ui_is_served(gateway: httpx.AsyncClient, name: str) -> None:
    answer = await gateway.get(f"/static/docs/{name}")
    assert answer.status_code == 200
    assert "swagger" in answer.text


def test_the_wheel_has_every_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    # From a copy: setuptools writes its folders beside the sources.
    source = tmp_path / "source"
    source.mkdir()
    (source / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (source / "README.md").touch()
    for name in FILES:
        copy = source / "gateway/demo_page/static" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((PAGE / name).read_bytes())
    (source / "gateway/__init__.py").touch()
    build = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build, tmp_path], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {f"gateway/demo_page/static/{name}" for name in FILES} <= set(archive.namelist())

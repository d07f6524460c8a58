"""The web app at `/edge/`: its files, their types, and the headers that threads and WebAssembly need."""

from pathlib import Path
from typing import Any

import pytest

from gateway.demo_page.edge import EDGE_FOLDER, edge_files
from tests.gateway.security.test_api_keys import entry

ROOT = Path(__file__).parents[3]
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "runtime.mjs": "text/javascript; charset=utf-8",
    "runtime.wasm": "application/wasm",
    "manifest.webmanifest": "application/manifest+json",
    "model.onnx": "application/octet-stream",
    "model.ort": "application/octet-stream",
    "labels.json": "application/json",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in TYPES:
        (tmp_path / name).write_text(name)
    return tmp_path


async def test_the_files_are_served_with_their_types(make_gateway: Any, folder: Path) -> None:
    async with make_gateway(edge_dir=folder, api_keys=entry("a", "key")) as gateway:
        for name, kind in TYPES.items():
            answer = await gateway.get(f"/edge/{name}")
            assert (answer.status_code, answer.text) == (200, name), "without a key, as the page's own files"
            assert answer.headers["content-type"] == kind
        assert (await gateway.get("/edge/")).text == "index.html"
        assert (await gateway.head("/edge/")).status_code == 200
        moved = await gateway.get("/edge")
        assert (moved.status_code, moved.headers["location"]) == (307, "edge/")


async def test_the_page_is_isolated_and_may_compile(make_gateway: Any, folder: Path) -> None:
    async with make_gateway(edge_dir=folder) as gateway:
        for name in ("", "main.js", "nothing"):
            headers = (await gateway.get(f"/edge/{name}")).headers
            assert headers["cross-origin-embedder-policy"] == "require-corp"
            assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
            assert "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self';" in headers["content-security-policy"]
            assert "unsafe-inline" not in headers["content-security-policy"]
        for path in ("/", "/health", "/edge", "/edgex/"):
            headers = (await gateway.get(path)).headers
            assert "cross-origin-embedder-policy" not in headers
            assert "wasm" not in headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/edge/../secret", "/edge/%2e%2e/secret", "/edge/..%2fsecret", "/edge//etc/passwd", "/edge/nothing"]
)
async def test_only_the_folder_is_served(make_gateway: Any, folder: Path, path: str) -> None:
    (folder.parent / "secret").write_text("secret")
    async with make_gateway(edge_dir=folder) as gateway:
        answer = await gateway.get(path)
        assert answer.status_code == 404
        assert "secret" not in answer.text
        assert (await gateway.post("/edge/main.js")).status_code == 405


async def test_an_app_that_is_not_built_says_how_to_build_it(make_gateway: Any, tmp_path: Path) -> None:
    async with make_gateway(edge_dir=tmp_path / "absent") as gateway:
        for path in ("/edge/", "/edge/index.html"):
            answer = await gateway.get(path)
            assert answer.status_code == 404
            assert "run `make edge`, or set SOD_EDGE_DIR" in answer.json()["errorMsg"]
        (tmp_path / "absent").mkdir()
        (tmp_path / "absent" / "index.html").write_text("built")
        assert (await gateway.get("/edge/")).text == "built", "without a restart"


def test_the_default_folder_is_that_of_make_edge() -> None:
    assert f"edge: OUT := $(or $(OUT),{EDGE_FOLDER.relative_to(ROOT)})" in (ROOT / "Makefile").read_text("utf-8")
    assert edge_files(None).directory == EDGE_FOLDER

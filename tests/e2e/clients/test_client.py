"""The Python client against the real server; test_cli.py has the `sod` command."""

import asyncio
import json
import signal
import subprocess
import sys

import cv2
import httpx
import psutil
import pytest
from sod_client import AsyncPipeline, LocalServerError, ServerError, create_pipeline

from sod.image import decode_image
from tests.clients.conftest import pdf
from tests.e2e.conftest import DEMO


@pytest.fixture
def file(tmp_path, image):
    path = tmp_path / "scene.jpg"
    path.write_bytes(image)
    return path


def test_predict_saves_json_and_overlay(server, file, tmp_path):
    with create_pipeline(url=server.url) as pipeline:
        (result,) = pipeline.predict(str(file), threshold=0.5)
    assert result.boxes
    saved = json.loads(result.save_to_json(tmp_path / "out").read_text())
    assert saved["boxes"] == result.boxes
    overlay = result.save_to_img(tmp_path / "out")
    assert overlay.name == "scene_res.jpg"
    assert cv2.imread(str(overlay)).shape == decode_image(file.read_bytes()).shape


def test_every_protocol_and_every_kind_of_input_gives_the_same_objects(server, file, image):
    pixels = decode_image(image)
    with create_pipeline(url=server.url) as gateway, create_pipeline(url=f"grpc://{server.grpc}") as triton:
        assert gateway.models() == triton.models()
        results = [
            result
            for pipeline in (gateway, triton)
            for result in pipeline.predict([file, image, pixels, file.parent], threshold=0.3)
        ]
    assert len(results) == 8
    assert results[0].boxes
    for result in results[1:]:
        # The gateway writes float32 values with fewer digits.
        assert [box["label"] for box in result.boxes] == [box["label"] for box in results[0].boxes]
        for box, expected in zip(result.boxes, results[0].boxes, strict=True):
            assert box["coordinate"] == pytest.approx(expected["coordinate"], abs=1e-3)
            assert box["score"] == pytest.approx(expected["score"], abs=1e-5)
    assert results[4].img["res"].size == results[0].img["res"].size == (pixels.shape[1], pixels.shape[0])


def test_pages_of_a_pdf(server, tmp_path):
    pytest.importorskip("pypdfium2")
    (tmp_path / "scan.pdf").write_bytes(pdf(3))
    with create_pipeline(url=server.url) as pipeline:
        for result in pipeline.predict(tmp_path / "scan.pdf"):
            assert result.img["res"].size == (200, 120)
            result.save_all(tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_a_bad_image_does_not_end_the_call(server, file, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    for url in (server.url, f"grpc://{server.grpc}"):
        with create_pipeline(url=url) as pipeline:
            results = list(pipeline.predict([tmp_path / "bad.jpg", file, "missing.jpg"], on_error="skip"))
            assert [result.input_path for result in results] == [str(file)]
            bad, missing = pipeline.errors
            assert isinstance(bad, ServerError)
            assert bad.status == 422
            assert str(bad).startswith(f"{tmp_path / 'bad.jpg'}: the server answered 422: ")
            assert str(missing) == "missing.jpg: no such file or folder"


def test_many_async_calls_at_once(server, file):
    async def ask():
        async with AsyncPipeline(url=server.url) as pipeline:

            async def count():
                return [len(result.boxes) async for result in pipeline.predict([file] * 3, threshold=0.3)]

            return await asyncio.gather(*(count() for _ in range(4)))

    counts = asyncio.run(ask())
    assert len({count for counted in counts for count in counted}) == 1


def _triton_below(pid):
    return [each for each in psutil.Process(pid).children(recursive=True) if "tritonserver" in each.name()]


def test_the_local_server_lives_as_long_as_the_pipeline(file, monkeypatch):
    monkeypatch.delenv("SOD_URL", raising=False)
    before = {each.pid for each in psutil.Process().children(recursive=True)}
    with create_pipeline(model=DEMO, device="cpu", use_hpip=True) as pipeline:
        (result,) = pipeline.predict(file, threshold=0.05)
        assert result.boxes
        assert [model.name for model in pipeline.models()] == [DEMO]
        mine = [each for each in psutil.Process().children(recursive=True) if each.pid not in before]
        assert any("tritonserver" in each.name() for each in mine)
        url = pipeline.url
    assert not psutil.wait_procs(mine, timeout=60)[1]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_the_local_server_dies_with_a_killed_parent(tmp_path):
    program = (
        "import time; from sod_client import create_pipeline;"
        f"pipeline = create_pipeline(model={DEMO!r}); print(pipeline.url, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("http://127.0.0.1:")
        children = psutil.Process(parent.pid).children(recursive=True)
        assert _triton_below(parent.pid)
        parent.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs(children, timeout=60)[1]


def test_an_unknown_model_is_reported(monkeypatch):
    monkeypatch.delenv("SOD_URL", raising=False)
    with pytest.raises(LocalServerError, match="there is no model nonsense; the repository has PP-YOLOE_plus_SOD-L,"):
        create_pipeline(model="nonsense")

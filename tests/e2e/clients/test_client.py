"""The Python client against the real server; test_cli.py has the `sod` command."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from io import BytesIO

import cv2
import httpx
import pillow_heif
import psutil
import pytest
from PIL import Image, ImageOps
from sod_client import (
    AsyncPipeline,
    BadReplyError,
    ConnectionFailedError,
    InvalidThresholdError,
    LocalServerError,
    ServerError,
    create_pipeline,
)

from sod.image import decode_image
from tests.clients.conftest import pdf
from tests.clients.tls_terminator import make_certificate, tls_terminator
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


def assert_same_objects(result, expected):
    """The same objects; the gateway writes float32 values with fewer digits."""
    assert [box["label"] for box in result.boxes] == [box["label"] for box in expected.boxes]
    for box, other in zip(result.boxes, expected.boxes, strict=True):
        assert box["coordinate"] == pytest.approx(other["coordinate"], abs=1e-3)
        assert box["score"] == pytest.approx(other["score"], abs=1e-5)


def test_every_protocol_and_every_kind_of_input_gives_the_same_objects(server, file, image):
    pixels = decode_image(image)
    inputs = [file, image, pixels, file.parent]
    with create_pipeline(url=server.url) as gateway:
        models = gateway.models()
        through_gateway = list(gateway.predict(inputs, threshold=0.3))
    assert through_gateway[0].boxes
    for result in through_gateway:
        assert_same_objects(result, through_gateway[0])
    from_triton = []
    for url in (f"grpc://{server.grpc}", f"triton+http://{server.triton_http}"):
        with create_pipeline(url=url) as triton:
            assert triton.models() == models
            from_triton.append(list(triton.predict(inputs, threshold=0.3)))
    for grpc, http in zip(*from_triton, strict=True):
        assert grpc.boxes == http.boxes, "both are float32 in binary"
        assert_same_objects(grpc, through_gateway[0])
        assert grpc.img["res"].size == http.img["res"].size == (pixels.shape[1], pixels.shape[0])


def test_triton_behind_tls(server, file, tmp_path):
    certificate = make_certificate(tmp_path)
    with create_pipeline(url=f"grpc://{server.grpc}") as plain:
        (expected,) = plain.predict(file, threshold=0.3)
    for scheme, address, protocol in (("grpcs", server.grpc, "h2"), ("triton+https", server.triton_http, "http/1.1")):
        with tls_terminator(certificate, int(address.rpartition(":")[2]), protocol) as port:
            url = f"{scheme}://127.0.0.1:{port}"
            for options in ({"ca_file": certificate / "ca.pem"}, {"insecure": True}):
                with create_pipeline(url=url, retries=0, **options) as pipeline:
                    (result,) = pipeline.predict(file, threshold=0.3)
                    assert result.boxes == expected.boxes
            with (
                create_pipeline(url=url, retries=0) as pipeline,
                pytest.raises(
                    ConnectionFailedError, match=f"^{re.escape(url)}: the server's certificate cannot be verified"
                ),
            ):
                pipeline.models()


@pytest.mark.parametrize("kind", [".heic", ".avif"])
def test_an_image_of_a_phone_is_detected_upright(server, image, tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.register_heif_opener()
    file = tmp_path / f"IMG_1{kind}"
    with Image.open(BytesIO(image)) as source:
        upright = (source.height, source.width)
        source.convert("RGB").save(file, exif=exif.tobytes(), quality=90)
    png = tmp_path / "upright.png"
    with Image.open(file) as shown:
        ImageOps.exif_transpose(shown).convert("RGB").save(png)
    for url in (server.url, f"grpc://{server.grpc}", f"triton+http://{server.triton_http}"):
        with create_pipeline(url=url) as pipeline:
            turned, expected = pipeline.predict([file, png], threshold=0.05)
        assert turned.boxes == expected.boxes != []
        assert turned.img["res"].size == expected.img["res"].size == upright
    refused = server.post(file.read_bytes())
    assert refused.status_code == 422, "the gateway itself reads neither"
    assert "send JPEG, PNG, WebP, BMP or TIFF" in refused.json()["errorMsg"]


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
    for url in (server.url, f"grpc://{server.grpc}", f"triton+http://{server.triton_http}"):
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


def test_an_unknown_model_and_an_unknown_class_are_reported_by_triton_too(server, file):
    for url in (f"grpc://{server.grpc}", f"triton+http://{server.triton_http}"):
        with create_pipeline(url=url) as pipeline:
            with pytest.raises(
                ServerError, match="the server answered 422: there is no model other; these are ready: "
            ):
                next(pipeline.predict(file, model="other"))
            with pytest.raises(InvalidThresholdError, match="no class 10"):
                next(pipeline.predict(file, {10: 0.5}, model=DEMO))
    with (
        create_pipeline(url=server.url.replace("http", "triton+http")) as pipeline,
        pytest.raises(BadReplyError, match="is not Triton's HTTP port: it answered 404"),
    ):
        pipeline.models()


def test_an_unknown_model_is_reported(monkeypatch):
    monkeypatch.delenv("SOD_URL", raising=False)
    with pytest.raises(LocalServerError, match="there is no model nonsense; the repository has PP-YOLOE_plus_SOD-L,"):
        create_pipeline(model="nonsense")

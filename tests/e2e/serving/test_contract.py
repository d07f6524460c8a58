"""The REST contract through the whole stack: gateway, Triton, a real model."""

import base64
import io
import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import cv2
import numpy as np
import pytest
from PIL import Image

from sod.frame import clip
from sod.image import decode_image
from tests.e2e.conftest import FULL
from tests.e2e.started_server import Serving, infer

PATH = "/small-object-detection"


@pytest.fixture(scope="module")
def web(images: dict[str, bytes]) -> Iterator[str]:
    """A web server with the images."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = images.get(self.path.strip("/"), b"")
            self.send_response(200 if body else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def assert_error(reply, status: int, *words: str) -> None:
    body = reply.json()
    assert reply.status_code == status, reply.text
    assert set(body) == {"logId", "errorCode", "errorMsg"}
    assert body["errorCode"] == status
    for word in words:
        assert word in body["errorMsg"]


def test_an_image_gives_objects_and_an_overlay_of_its_size(server: Serving, image):
    reply = server.post(image)
    assert reply.status_code == 200
    body = reply.json()
    assert list(body) == ["logId", "errorCode", "errorMsg", "result"]
    UUID(body["logId"])
    assert (body["errorCode"], body["errorMsg"]) == (0, "Success")
    objects = body["result"]["detectedObjects"]
    assert objects, "S finds objects over 0.5 here"
    assert all(set(one) == {"bbox", "categoryId", "categoryName", "score"} for one in objects)
    assert all(one["score"] > 0.5 for one in objects)
    source = decode_image(image)
    overlay = base64.b64decode(body["result"]["image"])
    assert overlay.startswith(b"\xff\xd8")
    drawn = decode_image(overlay)
    assert drawn.shape == source.shape
    assert np.abs(drawn.astype(int) - source).max() > 100, "nothing is drawn"


def test_objects_are_the_ensembles(server, triton, images):
    for data in images.values():
        height, width = decode_image(data).shape[:2]
        found = clip(infer(triton, FULL, [data], 0.3)[0], width, height)
        objects = server.post(data, threshold=0.3, visualize=False).json()["result"]["detectedObjects"]
        assert [one["categoryId"] for one in objects] == found.class_ids.tolist()
        assert [one["score"] for one in objects] == pytest.approx(found.scores.tolist(), abs=1e-5)
        np.testing.assert_allclose([one["bbox"] for one in objects], found.boxes, atol=0.01)


def test_the_threshold_defaults_to_a_half_and_a_map_keeps_it_for_what_it_leaves_out(server, image):
    def scores(threshold):
        """(class, score) of every object, the score to four places."""
        objects = server.post(image, threshold=threshold, visualize=False).json()["result"]["detectedObjects"]
        return [(one["categoryId"], round(one["score"], 4)) for one in objects]

    default, low = scores(None), scores(0.2)
    assert default == scores(0.5) == scores({})
    most = max(range(10), key=[class_id for class_id, _ in low].count)
    expected = [one for one in low if one[0] == most] + [one for one in default if one[0] != most]
    assert sorted(scores({str(most): 0.2})) == sorted(expected)
    assert len(expected) > len(default)


def test_visualize_off_leaves_the_image_out(server, image):
    assert list(server.post(image, visualize=False).json()["result"]) == ["detectedObjects"]


def test_the_overlay_changes_nothing_that_is_found(server, images):
    # With an overlay the gateway decodes and resizes the image, without one Triton does.
    for data in images.values():
        plain, drawn = (
            server.post(data, threshold=0.3, visualize=visualize).json()["result"]["detectedObjects"]
            for visualize in (False, True)
        )
        assert plain
        assert [one["categoryId"] for one in drawn] == [one["categoryId"] for one in plain]
        for key, tolerance in (("score", 1e-4), ("bbox", 1e-2)):
            np.testing.assert_allclose([one[key] for one in drawn], [one[key] for one in plain], rtol=0, atol=tolerance)


def test_a_url_is_fetched(server, web, images):
    name, data = next(iter(images.items()))
    by_url = server.post(f"{web}/{name}", visualize=False).json()["result"]["detectedObjects"]
    by_body = server.post(data, visualize=False).json()["result"]["detectedObjects"]
    assert [one["score"] for one in by_url] == pytest.approx([one["score"] for one in by_body], abs=1e-5)


def test_a_form_and_a_raw_body_give_what_base64_gives(server, image):
    options = {"threshold": '{"0": 0.3, "3": 0.4}', "visualize": "false", "maxDetections": "5"}
    expected = server.post(image, threshold={"0": 0.3, "3": 0.4}, visualize=False, maxDetections=5).json()["result"]
    assert len(expected["detectedObjects"]) == 5
    form = server.http.post(PATH, files={"image": ("a.jpg", image)}, data=options)
    raw = server.http.post(PATH, content=image, headers={"content-type": "image/jpeg"}, params=options)
    for reply in (form, raw):
        assert reply.status_code == 200, reply.text
        objects = reply.json()["result"]["detectedObjects"]
        assert [one["categoryId"] for one in objects] == [one["categoryId"] for one in expected["detectedObjects"]]
        scores = [one["score"] for one in expected["detectedObjects"]]
        assert [one["score"] for one in objects] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize(("kind", "magic"), [("jpeg", b"\xff\xd8\xff"), ("png", b"\x89PNG"), ("webp", b"RIFF")])
def test_accept_gives_the_drawn_image_itself(server, image, kind, magic):
    headers = {"content-type": "image/jpeg", "accept": f"image/{kind}"}
    reply = server.http.post(PATH, content=image, headers=headers, params={"logId": "mine"})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == f"image/{kind}"
    assert reply.headers["x-log-id"] == "mine"
    assert int(reply.headers["x-detections"]) > 0
    assert "infer;dur=" in reply.headers["server-timing"]
    assert reply.content.startswith(magic)
    drawn, source = decode_image(reply.content), decode_image(image)
    assert drawn.shape == source.shape
    assert np.abs(drawn.astype(int) - source).max() > 100, "nothing is drawn"


def test_a_batch_with_a_broken_image(server, images):
    files = [*images.values()]
    entries = [base64.b64encode(data).decode() for data in files]
    broken = base64.b64encode(encoded("PNG")[:300]).decode()
    entries.insert(1, {"image": broken, "visualize": True})
    reply = server.http.post(f"{PATH}/batch", json={"images": entries, "threshold": 0.3, "visualize": False})
    assert reply.status_code == 200, reply.text
    results = reply.json()["result"]["results"]
    assert [one["errorCode"] for one in results] == [0, 422] + [0] * (len(files) - 1)
    assert "cannot be decoded" in results[1]["errorMsg"]
    for data, one in zip(files, results[:1] + results[2:], strict=True):
        alone = server.post(data, threshold=0.3, visualize=False).json()["result"]["detectedObjects"]
        together = one["result"]["detectedObjects"]
        assert [found["score"] for found in together] == pytest.approx([found["score"] for found in alone], abs=1e-4)


def encoded(file_format: str, mode: str = "RGB", **options: object) -> bytes:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6
KINDS = {
    "baseline JPEG": (encoded("JPEG"), (90, 120)),
    "progressive JPEG": (encoded("JPEG", progressive=True), (90, 120)),
    "CMYK JPEG": (encoded("JPEG", "CMYK"), (90, 120)),
    "turned JPEG": (encoded("JPEG", exif=EXIF), (120, 90)),
    "grey JPEG": (encoded("JPEG", "L"), (90, 120)),
    "PNG with alpha": (encoded("PNG", "RGBA"), (90, 120)),
    "16-bit PNG": (cv2.imencode(".png", np.full((90, 120, 3), 40_000, np.uint16))[1].tobytes(), (90, 120)),
    "palette PNG": (encoded("PNG", "P"), (90, 120)),
    "WebP": (encoded("WEBP"), (90, 120)),
    "BMP": (encoded("BMP"), (90, 120)),
    "one pixel": (cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes(), (1, 1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_answered(server, kind):
    data, shape = KINDS[kind]
    reply = server.post(data, threshold=0.05)
    assert reply.status_code == 200, reply.text
    assert decode_image(base64.b64decode(reply.json()["result"]["image"])).shape[:2] == shape


@pytest.mark.parametrize("visualize", [True, False])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (base64.b64encode(b"not an image").decode(), "not an image"),
        (base64.b64encode(encoded("PNG")[:300]).decode(), "cannot be decoded"),
        ("####", "base64"),
        ("", "empty"),
        ("ftp://example.org/a.jpg", "ftp"),
        ("file:///etc/passwd", "file"),
        ("http://127.0.0.1:9/a.jpg", "cannot be connected"),
        ("http://127.0.0.2:9/a.jpg", "not public"),
    ],
)
def test_invalid_images_are_422_with_a_sentence(server, image, message, visualize):
    assert_error(server.post(image, visualize=visualize), 422, message)


def test_a_missing_page_is_422(server, web):
    assert_error(server.post(f"{web}/absent.jpg"), 422, "404")


def test_other_errors_have_the_envelope(server):
    assert_error(server.http.get("/absent"), 404, "Not Found")
    assert_error(server.http.get(PATH), 405, "Method Not Allowed")
    assert_error(server.http.post(PATH, content=b"{"), 422, "json_invalid")
    assert_error(server.http.post(PATH, json={}), 422, "body.image")
    assert_error(server.post(encoded("PNG"), threshold=7), 422, "threshold")
    assert_error(server.post(encoded("PNG"), threshold={"99": 0.5}), 422, "0 to 9")


def test_a_pixel_bomb_is_refused_by_its_header(server):
    bomb = bytearray(encoded("PNG"))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    assert_error(server.post(bytes(bomb)), 422, "60000 x 60000", "limit")


def test_a_body_over_the_limit_is_413_and_the_server_stays_small(server):
    gateway = server.child("-m gateway")
    before = gateway.memory_info().rss

    def endless() -> Iterator[bytes]:
        yield b'{"image": "'
        for _ in range(300):
            yield b"A" * 2**20
        yield b'"}'

    assert_error(server.http.post(PATH, content=endless()), 413, "larger than")
    assert gateway.memory_info().rss - before < 200 * 2**20
    reply = server.http.post(PATH, content=json.dumps({"image": "A" * 70 * 2**20}))
    assert_error(reply, 413, "larger than")


def test_health(server):
    for path in ("/health", "/health/live", "/health/ready"):
        body = server.http.get(path).json()
        assert (body["errorCode"], body["errorMsg"]) == (0, "Healthy")
        UUID(body["logId"])

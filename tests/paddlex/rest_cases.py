"""Requests that are sent to both servers.

A case that names a row of the table REST in docs/paddlex-compat.md must differ as the row says; one without a row must
not differ.
"""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.paddlex import images
from tests.paddlex.image_host import PASSWORD

PATH = "/small-object-detection"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        name: what is special about it.
        row: key of the row of the table; None if both must answer alike.
    """

    name: str
    row: str | None = None
    method: str = "POST"
    path: str = PATH
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


def ask(name: str, image: Any, row: str | None = None, **fields: Any) -> Case:
    """A request of the documented form; without `visualize` there is no overlay, which takes most of PaddleX's time."""
    sent = base64.b64encode(image).decode() if isinstance(image, bytes) else image
    body = {"image": sent, "visualize": False} | fields
    return Case(
        name, row, body=json.dumps({key: value for key, value in body.items() if value is not LEFT_OUT}).encode()
    )


LEFT_OUT: Any = object()
THRESHOLDS: dict[str, Any] = {
    "none": LEFT_OUT,
    "null": None,
    "0.3": 0.3,
    "0": 0,
    "text": "0.6",
    "true": True,
    "empty map": {},
    "map": {"0": 0.2, "3": 0.7},
    "map of text": {"1": "0.45"},
}


def all_cases(readable: Mapping[str, bytes], host: str) -> Iterator[Case]:
    """Every case.

    Args:
        readable: of `images.readable_images`.
        host: of `image_host.serving`, which must serve these images and `truncated.jpg`.
    """
    for name, image in readable.items():
        for label, threshold in THRESHOLDS.items():
            yield ask(f"{name}, threshold {label}", image, threshold=threshold)
    for name in ("bgr.jpg", "hit-uav.jpg", "bgra.png", "exif6.jpg", "grey16.png", "one.png"):
        for label, value in {"absent": LEFT_OUT, "null": None, "true": True, "false": False}.items():
            yield ask(f"{name}, visualize {label}", readable[name], visualize=value)
    image = readable["bgr.jpg"]
    yield from _images(image)
    yield from _base64(image)
    yield from _urls(host)
    yield from _fields(image)
    yield from _http(image)


def _images(image: bytes) -> Iterator[Case]:
    unreadable = "image that cannot be read or fetched"
    yield ask("no image", b"not an image", unreadable)
    yield ask("one byte", b"\xff", unreadable)
    yield ask("the head of a PNG", images.encode(".png", images.photograph())[:30], unreadable)
    yield ask("a PDF", b"%PDF-1.4\n%%EOF\n", unreadable)
    yield ask("an SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', unreadable)
    truncated = "image: a JPEG that ends too early"
    yield ask("half a JPEG", images.truncated_jpeg(), truncated, threshold=0.3)
    large = "size of body, image and fetch"
    yield ask("an image of 9 MB", image + bytes(9_000_000), large)
    yield ask("a body of 20 MB", image + bytes(15_000_000), large)


def _base64(image: bytes) -> Iterator[Case]:
    text = base64.b64encode(image).decode()
    bare = text.rstrip("=")
    harmless = "image: base64 with superfluous =, white space or line breaks"
    yield ask("superfluous padding", f"{bare}====", harmless)
    yield ask("line breaks", "\r\n".join(text[i : i + 76] for i in range(0, len(text), 76)), harmless)
    yield ask("spaces around", f"  {text}\n", harmless)
    yield ask(
        "a trailing NUL", f"{text}\x00", "image: base64 with other characters in it, or with text after its padding"
    )
    for name, other in {
        "text after the padding": f"{base64.b64encode(image + b'x' * (-len(image) % 3 + 1)).decode()}my file.jpg",
        "a word in the middle": f"{text[:400]}*!*{text[400:]}",
        "quotes around": f'"{text}"',
    }.items():
        yield ask(name, other, "image: base64 with other characters in it, or with text after its padding")
    unreadable = "image that cannot be read or fetched"
    yield ask("padding missing", base64.b64encode(image + bytes(-len(image) % 3 + 1)).decode().rstrip("="), unreadable)
    yield ask("empty text", "", unreadable)
    yield ask("a word", "hello", unreadable)
    yield ask("a file URL", "file:///etc/hostname", unreadable)
    yield ask("a path", "/etc/hostname", unreadable)
    yield ask("a data URL", f"data:image/jpeg;base64,{text}", "image: a data: URL with base64")


def _urls(host: str) -> Iterator[Case]:
    for name in ("bgr.jpg", "grey16.png", "bgr.webp", "bgr.tif", "exif6.jpg"):
        yield ask(f"URL of {name}", f"http://{host}/{name}")
        yield ask(f"URL of {name} with a query", f"http://{host}/{name}?size=big#part")
    yield ask("URL called text/html", f"http://{host}/text/bgr.jpg")
    yield ask("URL that is redirected", f"http://{host}/redirect/bgr.jpg")
    yield ask("URL in capitals", f"HTTP://{host}/bgr.jpg", "image: a URL whose scheme has capitals")
    for status in (201, 202, 203):
        row = "image: a URL that answers 201, or another 2xx"
        yield ask(f"URL that answers {status}", f"http://{host}/status/{status}/bgr.jpg", row)
    yield ask("URL that answers 206", f"http://{host}/status/206/bgr.jpg", "image: a URL that answers 206")
    for status in (401, 404, 500):
        row = "image: a URL that answers 404, or another error, with an image"
        yield ask(f"URL that answers {status} with an image", f"http://{host}/status/{status}/bgr.jpg", row)
    yield ask("URL that answers with gzip", f"http://{host}/gzip/bgr.png", "image: a URL that answers with gzip")
    yield ask(
        "URL that answers with deflate", f"http://{host}/deflate/bgr.png", "image: a URL that answers with deflate"
    )
    yield ask("URL with a password", f"http://{PASSWORD}@{host}/password/bgr.jpg", "image: a URL with user:password@")
    private = "image: a URL of a private or local address"
    yield ask("URL of a local address", f"http://{host.replace('127.0.0.1', '127.0.0.2')}/bgr.jpg", private)
    unreadable = "image that cannot be read or fetched"
    yield ask("URL without an image", f"http://{host}/missing.jpg", unreadable)
    yield ask("URL that asks for a password", f"http://{host}/password/bgr.jpg", unreadable)
    yield ask("URL of a closed port", "http://127.0.0.1:9/bgr.jpg", unreadable)
    yield ask("URL of no host", "http:///bgr.jpg", unreadable)


def _fields(image: bytes) -> Iterator[Case]:
    for value in (-1, -0.1, 1.5, 1e300):
        yield ask(f"threshold {value}", image, "threshold outside 0 to 1, or NaN", threshold=value)
    yield ask("threshold NaN", image, "threshold outside 0 to 1, or NaN", threshold=float("nan"))
    yield ask(
        "threshold of class 99", image, "threshold of a class that the model does not have", threshold={"99": 0.3}
    )
    yield ask(
        "threshold of class -1", image, "threshold of a class that the model does not have", threshold={"-1": 0.3}
    )
    many = {str(i): 0.9 for i in range(10)} | {"9": 0.01, "8": 0.01}
    row = "threshold by class, with more than 500 objects above the thresholds"
    yield ask("low thresholds for two classes", image, row, threshold=many)
    for bad in ("a", {"a": 0.3}, [0.5], {"0": None}, {"0": "x"}, {"1.5": 0.3}, ""):
        yield ask(f"threshold {bad!r}", image, threshold=bad)
    for log_id in ("mine", "日志", 5, -5):
        yield ask(f"logId {log_id!r}", image, "logId that is a string or an integer", logId=log_id)
    for other in (1.5, True, ["x"], {}, 2**70):
        row = "logId that is anything else, or an integer of more than 64 bits"
        yield ask(f"logId {other!r}", image, row, logId=other)
    for absent in ("", None):
        yield ask(f"logId {absent!r}", image, logId=absent)
    yield ask("unknown fields", image, useThis=1, nested={"a": [None]})
    for value in ("true", 1, 0, "no", 2, "maybe", [], 1.5):
        yield ask(f"visualize {value!r}", image, visualize=value)
    for value in (None, 5, True, [], {}, LEFT_OUT):
        yield ask(f"image {'left out' if value is LEFT_OUT else value!r}", value)


def _http(image: bytes) -> Iterator[Case]:
    body = ask("", image).body
    for name, bad in {
        "nothing": b"",
        "no JSON": b"{",
        "a list": b"[]",
        "a text": b'"x"',
        "null": b"null",
        "a BOM": b"\xef\xbb\xbf" + body,
        "UTF-16": body.decode().encode("utf-16"),
        "a duplicated key": b'{"threshold": 0.9, "threshold": 0.3, ' + body[1:],
    }.items():
        yield Case(f"body: {name}", body=bad)
    yield Case("body: not UTF-8", "body that is not UTF-8", body=b'{"image": "\xff\xfe"}')
    yield Case("JSON with a charset", body=body, headers={"Content-Type": "application/json; charset=utf-8"})
    yield Case("JSON with a suffix", body=body, headers={"Content-Type": "application/problem+json"})
    row = "Content-Type other than JSON (curl's -d), or none"
    yield Case("no content type", row, body=body, headers={})
    for kind in ("application/x-www-form-urlencoded", "text/plain", "x"):
        yield Case(f"content type {kind}", row, body=body, headers={"Content-Type": kind})
    encoded = "Content-Encoding of the request"
    yield Case("plain body called gzip", encoded, body=body, headers=JSON | {"Content-Encoding": "gzip"})
    yield Case("gzip body", encoded, body=gzip.compress(body), headers=JSON | {"Content-Encoding": "gzip"})
    yield Case("identity body", body=body, headers=JSON | {"Content-Encoding": "identity"})
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        yield Case(f"{method} instead of POST", method=method)
    yield Case("a slash at the end", "path with / at its end", path=f"{PATH}/", body=body)
    yield Case("another path", path="/nothing-here", body=body)
    yield Case("GET /health", method="GET", path="/health")
    yield Case("POST /health", path="/health")
    yield Case("GET /redoc", "GET /redoc", method="GET", path="/redoc")
    yield Case("GET /docs", method="GET", path="/docs")
    yield Case("GET /openapi.json", method="GET", path="/openapi.json")

"""What surrounds a request's body is bounded and strict, as seen from a connection to a real server."""

import json
import re
import time
from collections.abc import Iterator
from itertools import chain, repeat

import httpx
import pytest

from tests.hostile.attacked_server import MIB, PATH, AttackedServer, same_objects

_ATTACK_MIB = 200
_SENT_MIB = 32  # more than the buffers of two sockets
_LINE = re.compile(rb"HTTP/1\.1 (\d\d\d) ")

POST = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HEADERS = b"X-A: " + b"b" * 1017 + b"\r\n"
SMALL_CHUNKS = b"1;" + b"a" * 1017 + b"\r\n \r\n"
# What comes first, what is repeated without end, and the status.
ENDLESS = {
    "request line": (b"GET /", b"a" * 1024, 431),
    "headers": (POST, HEADERS, 431),
    "header": (POST + b"X-A: ", b"b" * 1024, 431),
    "header name": (POST, b"X" * 1024, 431),
    "chunk extension": (CHUNKED + b"1;", b"a" * 1024, 400),
    "chunk extensions": (CHUNKED, SMALL_CHUNKS, 400),
    "trailers": (CHUNKED + b"0\r\n", HEADERS, 431),
    "trailer": (CHUNKED + b"0\r\nX-A: ", b"b" * 1024, 400),
}


def statuses(received: bytes) -> list[int]:
    """Of the final responses."""
    return [int(status) for status in _LINE.findall(received) if status >= b"200"]


def request(body: bytes, *headers: bytes) -> bytes:
    lines = [POST.rstrip(), b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_has_no_end_is_cut(server: AttackedServer, kind: str) -> None:
    first, repeated, status = ENDLESS[kind]
    piece = repeated * (MIB // len(repeated))
    with server.attacked(cpu_s=1.5, memory_mib=32):
        received, sent = server.exchange(chain([first], repeat(piece, _ATTACK_MIB)))
    assert statuses(received) == [status]
    assert json.loads(received.partition(b"\r\n\r\n")[2])["errorCode"] == status
    assert sent < _SENT_MIB * MIB


@pytest.mark.parametrize(
    "late", [None, b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["an image", "what looks like a request"]
)
def test_an_offered_upgrade_is_ignored_and_the_late_body_is_read(server: AttackedServer, late: bytes | None) -> None:
    body = json.dumps(server.small_request).encode() if late is None else late
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
    whole = request(body, *offer)

    def pieces() -> Iterator[bytes]:
        yield whole[: -len(body)]
        time.sleep(0.3)
        yield body + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    with server.attacked(cpu_s=1.5, memory_mib=32):
        received, _ = server.exchange(pieces())
    assert statuses(received) == [422 if late else 200, 200]
    if late is None:
        document, _ = json.JSONDecoder().raw_decode(received.partition(b"\r\n\r\n")[2].decode())
        assert same_objects(document["result"]["detectedObjects"], server.objects)


@pytest.mark.parametrize("hosts", [b"", b"Host: x\r\nHost: x\r\n", b"Host: x\r\nHost: y\r\n"])
def test_a_request_has_one_host(server: AttackedServer, hosts: bytes) -> None:
    received, _ = server.exchange([b"GET /health HTTP/1.1\r\n" + hosts + b"\r\n"])
    assert statuses(received) == [400]
    assert "exactly one" in json.loads(received.partition(b"\r\n\r\n")[2])["errorMsg"]


def test_a_client_that_has_closed_its_sending_side_gets_its_response(server: AttackedServer) -> None:
    body = json.dumps(server.small_request).encode()
    received, _ = server.exchange([request(body)], closes=True)
    assert statuses(received) == [200]
    document = json.loads(received.rpartition(b"\r\n\r\n")[2])
    assert same_objects(document["result"]["detectedObjects"], server.objects)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_with_a_trailing_slash_is_unknown(server: AttackedServer, method: str) -> None:
    with httpx.Client(base_url=server.serving.url, timeout=60) as client:
        response = client.request(method, f"{PATH}/", json=server.small_request)
    assert response.status_code == 404
    assert response.json()["errorCode"] == 404
    assert "location" not in response.headers

"""Put far more load on a running server than it can handle, and measure how it responds.

Many clients post large images in a loop, others send one byte a second, and others never read their response. All of
them share one process. Another process measures the latencies of a few more clients and the gateway's memory under
load, and the latency of single requests before and after the load.
"""

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import sys
import time
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import psutil

_PATH = "/small-object-detection"
_MB = 1_000_000
_MIB = 1024 * 1024
_RESPONSE_TIMEOUT_S = 150.0
_SAMPLE_S = 0.1
_SINGLE_REQUESTS = 20  # before and after the load
_MEASURED_CLIENTS = 4


@dataclass
class Tally:
    """Responses and failures of a group of clients.

    Attributes:
        seconds: by status, from the begin of each request to the head of its response.
        broken: number of connections that ended without a response.
    """

    seconds: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    broken: int = 0


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.overload") -> int:
    """Run the benchmark.

    Returns:
        0; 1 if the server is not found, or does not answer every single request after the load.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__.split("\n", 1)[1].strip(),
    )
    parser.add_argument(
        "--url",
        default=os.environ.get("SOD_URL") or "http://127.0.0.1:8080",
        help="the server, on this machine (default: SOD_URL, or http://127.0.0.1:8080)",
    )
    parser.add_argument(
        "--clients", type=int, default=200, help="clients that post images without end (default: %(default)s)"
    )
    parser.add_argument(
        "--body-mb", type=float, default=8.0, help="size of each of their bodies, in MB (default: %(default)s)"
    )
    parser.add_argument("--megapixels", type=float, default=12.0, help="size of the image in it (default: %(default)s)")
    parser.add_argument("--slow", type=int, default=50, help="clients that send a byte a second (default: %(default)s)")
    parser.add_argument(
        "--deaf", type=int, default=20, help="clients that never read their answer (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: %(default)s)")
    parser.add_argument(
        "--pause", type=float, default=1.0, help="seconds a client rests after an answer (default: %(default)s)"
    )
    parser.add_argument("--pid", type=int, help="process id of the gateway (default: found by its port)")
    options = parser.parse_args(arguments)
    port = urlsplit(options.url).port or 80
    try:
        process = psutil.Process(options.pid or _find_listener(port))
    except (LookupError, psutil.Error) as error:
        print(f"{error}: is the server running at {options.url}, on this machine?", file=sys.stderr)
        return 1
    return asyncio.run(_run(options, process, port))


async def _run(options: argparse.Namespace, process: psutil.Process, port: int) -> int:
    body = _make_body(int(options.body_mb * _MB), options.megapixels)
    small = _make_body(200_000, 1.0)
    before = await _send_singly(options.url, small, "before")
    resting = process.memory_info().rss

    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[Tally] = context.Queue()
    load = context.Process(target=_load, args=(options, port, body, results))
    load.start()
    tally, rss = Tally(), list[int]()
    until = time.monotonic() + options.seconds
    measured = [_post_without_end(port, body, until, options.pause, tally) for _ in range(_MEASURED_CLIENTS)]
    stop = asyncio.Event()
    watch = asyncio.create_task(_watch(process, stop, rss, tally))
    await asyncio.gather(*measured)
    load_tally = await asyncio.to_thread(results.get)
    load.join()
    stop.set()
    await watch

    after = await _send_singly(options.url, small, "after")
    print(_report(options, (load_tally, tally), (resting, rss, process.memory_info().rss), (before, after)))
    return 0 if len(after) == _SINGLE_REQUESTS else 1


def _load(options: argparse.Namespace, port: int, body: bytes, results: "multiprocessing.Queue[Tally]") -> None:
    """Main function of the process that generates the load."""
    results.put(asyncio.run(_generate(options, port, body)))


async def _generate(options: argparse.Namespace, port: int, body: bytes) -> Tally:
    tally = Tally()
    until = time.monotonic() + options.seconds
    loads: list[Coroutine[Any, Any, None]] = [
        *(_post_without_end(port, body, until, options.pause, tally) for _ in range(options.clients)),
        *(_send_slowly(port, len(body), until, tally) for _ in range(options.slow)),
        *(_never_read(port, body, until) for _ in range(options.deaf)),
    ]
    await asyncio.gather(*loads)
    return tally


def _find_listener(port: int) -> int:
    for connection in psutil.net_connections("tcp"):
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
            return connection.pid
    raise LookupError(f"no process listens on port {port}")


def _make_body(size: int, megapixels: float) -> bytes:
    """A request body of about `size` bytes; the JPEG is padded after its end, which decoders ignore."""
    height = int((megapixels * 1e6 * 9 / 16) ** 0.5)
    noise = np.random.default_rng(0).integers(0, 256, (height // 16, height // 9, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", cv2.resize(noise, (height * 16 // 9, height)), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    image = jpeg.tobytes()
    image += bytes(max(0, size * 3 // 4 - len(image)))
    return json.dumps({"image": base64.b64encode(image).decode()}).encode()


async def _send_singly(url: str, body: bytes, name: str) -> list[float]:
    """Send one request after the other; the seconds of those with status 200."""
    seconds = []
    async with httpx.AsyncClient(base_url=url, timeout=_RESPONSE_TIMEOUT_S) as client:
        # The first request may still wait for the rest of the load, and is not counted.
        for number in range(_SINGLE_REQUESTS + 1):
            started = time.monotonic()
            response = await client.post(_PATH, content=body)
            if number and response.status_code == httpx.codes.OK:
                seconds.append(time.monotonic() - started)
    print(f"{name} the load: {len(seconds)} of {_SINGLE_REQUESTS} requests answered", file=sys.stderr, flush=True)
    return seconds


async def _post_without_end(port: int, body: bytes, until: float, pause: float, tally: Tally) -> None:
    while time.monotonic() < until:
        try:
            async with asyncio.timeout(_RESPONSE_TIMEOUT_S):
                await _post(port, body, tally)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            tally.broken += 1
        await asyncio.sleep(pause)


async def _post(port: int, body: bytes, tally: Tally) -> None:
    """Post a body; stop sending when the response arrives early, as curl does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = None
    try:
        started = time.monotonic()
        writer.write(_head(len(body)))
        sending = asyncio.create_task(_send(writer, body))
        status, length = await _read_head(reader)
        tally.seconds[status].append(time.monotonic() - started)
        while length > 0:
            piece = await reader.read(min(length, _MIB))
            if not piece:
                raise ConnectionError("the response ended early")
            length -= len(piece)
    finally:
        if sending is not None:
            sending.cancel()
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, body: bytes) -> None:
    with suppress(OSError):
        for start in range(0, len(body), _MIB):
            writer.write(body[start : start + _MIB])
            await writer.drain()


async def _send_slowly(port: int, length: int, until: float, tally: Tally) -> None:
    while time.monotonic() < until:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            started = time.monotonic()
            writer.write(_head(length))
            head = asyncio.create_task(_read_head(reader))
            while not head.done() and time.monotonic() < until:
                writer.write(b" ")
                await asyncio.wait([head], timeout=1)
            if head.done():
                tally.seconds[(await head)[0]].append(time.monotonic() - started)
            else:
                head.cancel()
            writer.transport.abort()
        await asyncio.sleep(_SAMPLE_S)


async def _never_read(port: int, body: bytes, until: float) -> None:
    """Send requests without reading the responses; reconnect when the server has closed the connection."""
    while time.monotonic() < until:
        with suppress(OSError):
            # With such a small limit the reader stops reading from its socket at once.
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.write(_head(len(body)))
            writer.write(body)
            with suppress(TimeoutError):
                async with asyncio.timeout(until - time.monotonic()):
                    await writer.wait_closed()
            writer.transport.abort()
        await asyncio.sleep(_SAMPLE_S)


def _head(length: int) -> bytes:
    return f"POST {_PATH} HTTP/1.1\r\nHost: benchmark\r\nContent-Length: {length}\r\n\r\n".encode()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Status and Content-Length of a response."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    lengths = [int(line.split(":")[1]) for line in lines if line.startswith("content-length:")]
    return int(lines[0].split()[1]), lengths[0]


async def _watch(process: psutil.Process, stop: asyncio.Event, rss: list[int], tally: Tally) -> None:
    started = printed = time.monotonic()
    while not stop.is_set():
        rss.append(process.memory_info().rss)
        if time.monotonic() - printed >= 5:
            printed = time.monotonic()
            counts = ", ".join(f"{len(tally.seconds[status])} of {status}" for status in sorted(tally.seconds))
            print(f"{printed - started:4.0f} s: {rss[-1] / _MIB:.0f} MiB; {counts}", file=sys.stderr, flush=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _SAMPLE_S)


def _report(
    options: argparse.Namespace,
    tallies: tuple[Tally, Tally],
    rss: tuple[int, list[int], int],
    single: tuple[list[float], list[float]],
) -> str:
    load, measured = tallies
    before, during, after = rss
    lines = [
        f"{options.clients} clients with bodies of {options.body_mb:g} MB ({options.megapixels:g} megapixels), "
        f"{options.slow} that send a byte a second, {options.deaf} that never read their response; "
        f"{options.seconds:g} s. The latencies are those of {_MEASURED_CLIENTS} more such clients in another process.",
        "",
        "| status | responses | p50 | p99 |",
        "| --- | --- | --- | --- |",
    ]
    for status in sorted(load.seconds | measured.seconds):
        seconds = measured.seconds[status]
        number = len(load.seconds[status]) + len(seconds)
        lines.append(f"| {status} | {number:,} | {_ms(seconds, 50)} | {_ms(seconds, 99)} |")
    lines.append(f"| none: connection closed | {load.broken + measured.broken} | | |")
    quarters = [during[len(during) * i // 4 : len(during) * (i + 1) // 4] for i in range(4)]
    peaks = ", ".join(f"{max(quarter, default=0) / _MIB:,.0f}" for quarter in quarters)
    lines += [
        "",
        "| | before | under load | after |",
        "| --- | --- | --- | --- |",
        f"| gateway's memory, MiB | {before / _MIB:,.0f} | {peaks} (peak in each quarter) | {after / _MIB:,.0f} |",
        f"| one small image at a time, p50 | {_ms(single[0], 50)} | | {_ms(single[1], 50)} |",
        f"| of {_SINGLE_REQUESTS} such images answered | {len(single[0])} | | {len(single[1])} |",
    ]
    return "\n".join(lines)


def _ms(seconds: list[float], percentile: float) -> str:
    return f"{1000 * np.percentile(seconds, percentile):,.0f} ms" if seconds else ""


if __name__ == "__main__":
    sys.exit(main())

"""The steps `gateway` and `slices`: the embedded Triton and the gateway under load."""

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import cv2
import httpx

from benchmarks import servers
from benchmarks.gpu_day.options import Options
from benchmarks.gpu_day.repository import prepared
from benchmarks.gpu_day.timing import milliseconds
from benchmarks.gpu_day.utilisation import sampled
from benchmarks.performance.errors import BenchmarkError
from benchmarks.sdk_throughput import raw_seconds
from benchmarks.slices.requests import post, request_body
from sod.image import decode_image

_THRESHOLD = 0.5
_CLIENTS = 16
_4K = (3840, 2160)
_SIDE = 640  # of a slice


def measure(options: Options) -> dict[str, Any]:
    """Latency of one client and throughput of sixteen, with and without overlay, by model and precision.

    Returns:
        By model and precision: `plain` and `overlay`, each with `ms`, `images_a_second` and `gpu` (see
        `utilisation.sampled`); or `missing`, a sentence. The figures so far are also in `gateway.json` of the folder.
    """
    results: dict[str, Any] = {}
    for model in options.models:
        for precision in ("FP32", "FP16"):
            try:
                with _served(options, model, precision) as server:
                    image = options.image.read_bytes()
                    results[f"{model}, {precision}"] = {
                        name: _load(
                            server.url, request_body(image, model, _THRESHOLD, None, visualize=overlay), options
                        )
                        for name, overlay in (("plain", False), ("overlay", True))
                    }
            except BenchmarkError as error:
                results[f"{model}, {precision}"] = {"missing": str(error)}
            (options.folder / "gateway.json").write_text(json.dumps(results), encoding="utf-8")
    return results


def measure_slices(options: Options) -> dict[str, Any]:
    """4K frames in slices of 640 pixels, one client, FP32.

    Returns:
        By model: `ms`, `frames_a_second` and `slices`; or `missing`, a sentence.
    """
    frame = cv2.resize(decode_image(options.image.read_bytes()), _4K, interpolation=cv2.INTER_CUBIC)
    encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    results: dict[str, Any] = {}
    for model in options.models:
        try:
            with _served(options, model, "FP32") as server, httpx.Client(base_url=server.url, timeout=120) as http:
                body = request_body(encoded, model, _THRESHOLD, _SIDE)
                slices = int(post(http, body).headers.get("x-slices", "0"))
                times = milliseconds(partial(post, http, body), options.seconds, 1 if options.pretend else 3)
                ms = statistics.median(times)
                results[model] = {"ms": round(ms, 1), "frames_a_second": round(1e3 / ms, 3), "slices": slices}
        except BenchmarkError as error:
            results[model] = {"missing": str(error)}
        (options.folder / "slices.json").write_text(json.dumps(results), encoding="utf-8")
    return results


@contextmanager
def _served(options: Options, model: str, precision: str) -> Iterator[servers.Server]:
    repository = prepared(options, model, precision)
    log = options.folder / f"server-{model}-{precision}.log"
    arguments = ["--model-repository", str(repository)]
    with servers.started(options.profile, [model], arguments, log=log) as server:
        yield server


def _load(url: str, body: bytes, options: Options) -> dict[str, Any]:
    with httpx.Client(base_url=url, timeout=120) as http:
        post(http, body)
        times = milliseconds(partial(post, http, body), options.seconds)
    ms = statistics.median(times)
    # As many requests as fit, if sixteen clients get up to four times what one gets.
    count = max(_CLIENTS, int(4 * options.seconds * 1e3 / ms / (4 if options.pretend else 1)))
    with sampled() as gpu:
        seconds = raw_seconds(url, [body] * count, _CLIENTS)
    return {"ms": round(ms, 2), "images_a_second": round(count / seconds, 2), "clients": _CLIENTS, "gpu": gpu}

"""Measure the latency that the gateway adds to the ensemble.

One client sends one request at a time, alternately to the ensemble over gRPC, to the gateway without overlay, and to
the gateway with overlay. The overhead in a turn is the gateway's latency less the ensemble's in the same turn, and its
median is reported. So other load on the machine affects both sides.
"""

import argparse
import base64
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray
from tqdm import tqdm
from tritonclient.grpc import InferenceServerClient, InferInput

from sod import interface

_PATH = "/small-object-detection"


@dataclass(frozen=True, slots=True)
class Overhead:
    """Latencies in milliseconds, float64 [turns] each."""

    ensemble: NDArray[np.float64]
    plain: NDArray[np.float64]
    overlay: NDArray[np.float64]

    def markdown(self) -> str:
        """A table with median, 95th percentile and median overhead."""
        lines = ["| request | p50 ms | p95 ms | overhead p50 ms |", "| --- | ---: | ---: | ---: |"]
        for name, times in (
            ("ensemble over gRPC", self.ensemble),
            ("gateway, no overlay", self.plain),
            ("gateway, with overlay", self.overlay),
        ):
            p50, p95 = np.percentile(times, (50, 95))
            overhead = "" if times is self.ensemble else f"{np.median(times - self.ensemble):.1f}"
            lines.append(f"| {name} | {p50:.1f} | {p95:.1f} | {overhead} |")
        return "\n".join(lines) + "\n"


def measure(calls: Sequence[Callable[[], None]], turns: int, warm_up: int) -> NDArray[np.float64]:
    """Time calls alternately.

    Args:
        calls: each sends one request and waits for its response.
        turns: how often each is called.
        warm_up: turns before that, which are not measured.

    Returns:
        Milliseconds, float64 [calls, turns].
    """
    times = np.empty((len(calls), turns))
    order = range(len(calls))
    for turn in tqdm(range(-warm_up, turns), unit="turn", file=sys.stderr):
        # The order rotates, so that every call is the first of a turn equally often.
        for call in (*order[turn % len(calls) :], *order[: turn % len(calls)]):
            started = perf_counter()
            calls[call]()
            if turn >= 0:
                times[call, turn] = (perf_counter() - started) * 1e3
    return times


def run(options: argparse.Namespace) -> Overhead:
    """Measure on a running server."""
    image = options.image.read_bytes()
    with httpx.Client(base_url=options.url, timeout=60) as http, InferenceServerClient(options.grpc) as triton:
        model, classes = _model(http, options.model)
        request = _grpc_request(image, classes, options.threshold)

        def call_ensemble() -> None:
            triton.infer(model, request)

        def gateway_call(visualize: bool) -> Callable[[], None]:
            body = orjson.dumps(
                {
                    "image": base64.b64encode(image).decode(),
                    "threshold": options.threshold,
                    "visualize": visualize,
                    "model": model,
                }
            )

            def call() -> None:
                response = http.post(_PATH, content=body, headers={"content-type": "application/json"})
                response.raise_for_status()

            return call

        times = measure([call_ensemble, gateway_call(False), gateway_call(True)], options.turns, options.warm_up)
    return Overhead(*times)


def _model(http: httpx.Client, name: str | None) -> tuple[str, int]:
    """Name and number of classes of a model; None means the server's default model."""
    models = http.get("/models").raise_for_status().json()["result"]["models"]
    for model in models:
        if name in (None, model["name"]):
            return model["name"], len(model["labels"])
    sys.exit(f"there is no model {name}; the server has {', '.join(model['name'] for model in models)}")


def _grpc_request(image: bytes, classes: int, threshold: float) -> list[InferInput]:
    image_tensor = InferInput(interface.IMAGE, [1, 1], "BYTES")
    image_tensor.set_data_from_numpy(np.array([[image]], np.object_))
    thresholds = InferInput(interface.SCORE_THRESHOLD, [1, classes], "FP32")
    thresholds.set_data_from_numpy(np.full((1, classes), threshold, np.float32))
    return [image_tensor, thresholds]


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.gateway_overhead") -> int:
    """Measure and print the table.

    Returns:
        0; 1 if the server does not respond, 2 if the image cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__.split("\n\n")[1],
    )
    parser.add_argument("image", type=Path, help="JPEG, PNG, WebP, BMP or TIFF")
    parser.add_argument(
        "--url",
        default=os.environ.get("SOD_URL") or "http://127.0.0.1:8080",
        help="the gateway (default: SOD_URL, or http://127.0.0.1:8080)",
    )
    parser.add_argument("--grpc", default="127.0.0.1:8001", help="Triton's gRPC address (default: %(default)s)")
    parser.add_argument("--model", help="ensemble (default: the server's)")
    parser.add_argument(
        "--threshold", type=float, default=0.3, help="score threshold of every class (default: %(default)s)"
    )
    parser.add_argument("--turns", type=int, default=200, help="measured turns (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=20, help="turns before the measured ones (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        overhead = run(options)
    except OSError as error:
        sys.stderr.write(f"cannot read the image: {error}\n")
        return 2
    except httpx.HTTPError as error:
        sys.stderr.write(f"the server at {options.url} does not respond ({error}): start it with make serve\n")
        return 1
    sys.stdout.write(overhead.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())

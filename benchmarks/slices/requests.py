"""Requests to the gateway for one image in slices."""

from typing import Any

import httpx
import orjson
import pybase64

from benchmarks.performance.errors import BenchmarkError
from benchmarks.slices.options import slice_field

PATH = "/small-object-detection"


def request_body(image: bytes, model: str, threshold: float, side: int | None, *, visualize: bool = False) -> bytes:
    """The JSON body.

    Args:
        image: encoded.
        model: name of the ensemble.
        threshold: score threshold of every class.
        side: of a slice in pixels; None detects the image whole.
        visualize: whether an overlay is drawn.
    """
    fields: dict[str, Any] = {
        "image": pybase64.b64encode(image).decode(),
        "model": model,
        "threshold": threshold,
        "visualize": visualize,
    }
    if side:
        fields["slice"] = slice_field(side, side)
    return orjson.dumps(fields)


def post(http: httpx.Client, body: bytes) -> httpx.Response:
    """Send one request.

    Raises:
        BenchmarkError: it is not answered with 200.
    """
    try:
        response = http.post(PATH, content=body, headers={"content-type": "application/json"})
    except httpx.HTTPError as error:
        raise BenchmarkError(f"the server does not answer: {error}") from None
    if response.status_code != httpx.codes.OK:
        raise BenchmarkError(f"the server answers {response.status_code}: {response.text[:300]}")
    return response

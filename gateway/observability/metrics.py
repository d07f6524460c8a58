"""What the gateway counts, for Prometheus.

One set a process. With several worker processes the values lie in files of the folder that the environment's
`PROMETHEUS_MULTIPROC_DIR` names (made by
`gateway.http_server.processes` before a worker imports this), and `render` adds them up.
"""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.observability.request_context import Stage

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BYTES = tuple(2**power for power in range(14, 27, 2))  # 16 KiB to 64 MiB
PIXELS = tuple(2**power for power in range(14, 27, 2))  # a side of 128 to one of 8192

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"

_registry = CollectorRegistry()


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One line of the table in docs/gateway.md."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


_rows: list[MetricRow] = []


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    _rows.append(MetricRow(name, "counter", labels, meaning))
    return Counter(name, meaning, labels, registry=_registry)


def _histogram(name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
    _rows.append(MetricRow(name, "histogram", labels, meaning))
    return Histogram(name, meaning, labels, registry=_registry, buckets=buckets)


def _gauge(
    name: str, meaning: str, *labels: str, workers: Literal["livesum", "livemostrecent", "max"] = "livesum"
) -> Gauge:
    _rows.append(MetricRow(name, "gauge", labels, meaning))
    return Gauge(name, meaning, labels, registry=_registry, multiprocess_mode=workers)


disable_created_metrics()  # type: ignore[no-untyped-call]

_requests = _counter(
    "sod_requests_total",
    "Requests answered. `path` is the route's, or `other`; `code` is 499 where the client left before the answer.",
    "path",
    "method",
    "code",
)
_request_seconds = _histogram(
    "sod_request_seconds", "Seconds from a request's head to the last byte of its answer.", SECONDS, "path"
)
_stage_seconds = _histogram(
    "sod_stage_seconds",
    "Seconds that a request spent in a stage (`body`, `parse`, `fetch`, `queue`, `decode`, `infer`, `draw`, `encode`);"
    " the images of a batch add up.",
    SECONDS,
    "stage",
)
in_flight = _gauge("sod_requests_in_flight", "Requests being answered.")
waiting = _gauge("sod_queue_waiting", "Images that wait for a slot.")
slots = _gauge("sod_slots_in_use", "Images in work: those that have a slot.")
_rejected = _counter(
    "sod_rejected_total",
    "Requests turned away or given up, by `places`, `bytes`, `too_large`, `body_timeout`, `deadline` or `disconnect`.",
    "reason",
)
_image_bytes = _histogram("sod_image_bytes", "Encoded bytes of the images that were answered.", BYTES)
_image_pixels = _histogram("sod_image_pixels", "Pixels of the images that were answered.", PIXELS)
_detections = _counter("sod_detections_total", "Objects found, by the model's name and class label.", "model", "label")
ready = _gauge("sod_ready", "1 if the last readiness check passed, 0 if not or in a drain.", workers="livemostrecent")
workers = _gauge("sod_workers", "Worker processes that serve.")
_build_info = _gauge("sod_build_info", "Always 1; which build runs.", "version", "python", workers="max")

TRITON_UP = MetricRow(
    "sod_triton_metrics_up",
    "gauge",
    (),
    "1 if Triton's own metrics (`nv_…`) follow, 0 if they could not be had. Only with `SOD_TRITON_METRICS_URL`.",
)
_rows.append(TRITON_UP)


def started(version: str) -> None:
    """This process serves."""
    workers.set(1)
    _build_info.labels(version, platform.python_version()).set(1)


def request_done(path: str, method: str, code: int, seconds: float, stages: Mapping[Stage, float]) -> None:
    """Count a request.

    Args:
        path: of the route; only a bounded set of values.
        method: the client's.
        code: HTTP status.
        seconds: of the whole.
        stages: seconds of each.
    """
    _request_counter(path, method if method in _METHODS else OTHER, code).inc()
    _request_histogram(path).observe(seconds)
    for stage, spent in stages.items():
        _stage_histogram(stage).observe(spent)


def rejected(reason: str) -> None:
    """Count a request turned away or given up; `reason` is one of a few fixed words."""
    _rejected.labels(reason).inc()


def answered(model: str, labels: Sequence[str], class_ids: NDArray[np.int32], *, size: int, pixels: int) -> None:
    """Count an image and what was found in it.

    Args:
        model: Its name.
        labels: Of its classes, by class id.
        class_ids: int32 [objects].
        size: Bytes of the encoded image.
        pixels: Width times height.
    """
    _image_bytes.observe(size)
    _image_pixels.observe(pixels)
    for class_id, count in enumerate(np.bincount(class_ids, minlength=1).tolist() if len(class_ids) else ()):
        if count:
            label = labels[class_id] if class_id < len(labels) else OTHER
            _detections.labels(model, label).inc(count)


def render() -> bytes:
    """All of it in Prometheus' text format 0.0.4; blocks for some milliseconds."""
    if FOLDER_VARIABLE not in os.environ:
        return generate_latest(_registry)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def metric_rows() -> Iterator[MetricRow]:
    """Every metric, in the order of the code."""
    yield from _rows


def metrics_markdown() -> str:
    """The metrics as the Markdown table of docs/gateway.md."""
    lines = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for row in metric_rows():
        labels = ", ".join(f"`{label}`" for label in row.labels) or "none"
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.meaning} |")
    return "\n".join(lines) + "\n"


# `labels()` takes a lock and builds strings each time; the sets of values are small.
@cache
def _request_counter(path: str, method: str, code: int) -> Counter:
    return _requests.labels(path, method, code)


@cache
def _request_histogram(path: str) -> Histogram:
    return _request_seconds.labels(path)


@cache
def _stage_histogram(stage: Stage) -> Histogram:
    return _stage_seconds.labels(stage)

"""The gateway's Prometheus metrics.

Each process has one set. With several worker processes the values are in files in `PROMETHEUS_MULTIPROC_DIR`, which
`gateway.http_server.processes` sets before a worker imports this module, and `render` sums them.
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
    """One row of the table in docs/gateway.md."""

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
    "Requests. `path` is the route's path or `other`; `code` is 499 if the client disconnected before the response.",
    "path",
    "method",
    "code",
)
_request_seconds = _histogram(
    "sod_request_seconds", "Seconds from the request's headers to the last byte of the response.", SECONDS, "path"
)
_stage_seconds = _histogram(
    "sod_stage_seconds",
    "Seconds that a request spent in a stage (`body`, `parse`, `fetch`, `queue`, `decode`, `infer`, `merge`, `draw`, "
    "`encode`); those of the images of a batch, and of the slices of an image, add up.",
    SECONDS,
    "stage",
)
in_flight = _gauge("sod_requests_in_flight", "Requests in progress.")
waiting = _gauge("sod_queue_waiting", "Images that wait for a slot.")
slots = _gauge("sod_slots_in_use", "Images being processed: slots in use.")
_rejected = _counter(
    "sod_rejected_total",
    "Requests and images refused, and requests aborted, by kind. Capacity: `slots`, `bytes`, `too_large`, `threads`, "
    "`shared_memory`; time: `body_timeout`, `deadline`, `task_timeout`, `disconnect`; client: `key`, `rate`; HTTP: "
    "`headers`, `host`, `framing`, `http`; size: `body_bytes`, `image_bytes`, `pixels`; parts of an image: `scans`, "
    "`metadata`, `parts`, `pixel_parts`, `compressed`, `padding`; other images: `ambiguous`, `invalid_image`, "
    "`undecodable`.",
    "reason",
)
_rate_limit_failures = _counter(
    "sod_rate_limit_failures_total",
    "Requests whose rate could not be counted, because the Redis of `SOD_RATE_LIMIT_STORAGE` cannot be asked.",
)
_image_bytes = _histogram("sod_image_bytes", "Encoded size of the processed images in bytes.", BYTES)
_image_pixels = _histogram("sod_image_pixels", "Pixels of the processed images.", PIXELS)
_detections = _counter(
    "sod_detections_total", "Detected objects, by name of the model and class label.", "model", "label"
)
ready = _gauge(
    "sod_ready", "1 if the last readiness check passed, 0 if it failed or while draining.", workers="livemostrecent"
)
_replica_serving = _gauge(
    "sod_triton_serving",
    "1 if this Triton gets requests, 0 if it was ejected or is new. Only with several in `SOD_TRITON_URL`.",
    "replica",
    workers="livemostrecent",
)
_replica_requests = _counter(
    "sod_triton_requests_total",
    "Inferences that were sent to this Triton, by `outcome`: `answered`, `failed`, `cancelled`. Only with several.",
    "replica",
    "outcome",
)
_ejections = _counter("sod_triton_ejections_total", "How often this Triton was ejected. Only with several.", "replica")
_retries = _counter(
    "sod_triton_retries_total", "Inferences that were sent to a second Triton because the first one failed."
)
workers = _gauge("sod_workers", "Worker processes in service.")
_build_info = _gauge("sod_build_info", "Always 1; the labels identify the build.", "version", "python", workers="max")

TRITON_UP = MetricRow(
    "sod_triton_metrics_up",
    "gauge",
    (),
    "1 if Triton's own metrics (`nv_…`) follow, 0 if they are unavailable. Only with `SOD_TRITON_METRICS_URL`.",
)
_rows.append(TRITON_UP)


def record_start(version: str) -> None:
    """Record that this process is in service."""
    workers.set(1)
    _build_info.labels(version, platform.python_version()).set(1)


def record_request(path: str, method: str, code: int, seconds: float, stages: Mapping[Stage, float]) -> None:
    """Record a finished request.

    Args:
        path: Path of the route; must have a bounded set of values.
        method: HTTP method; unknown ones are counted as `other`.
        code: HTTP status.
        seconds: Duration of the whole request.
        stages: Seconds of each stage.
    """
    _request_counter(path, method if method in _METHODS else OTHER, code).inc()
    _request_histogram(path).observe(seconds)
    for stage, spent in stages.items():
        _stage_histogram(stage).observe(spent)


def record_rejection(reason: str) -> None:
    """Record a rejected or aborted request, or a rejected image; `reason` must have a bounded set of values."""
    _rejected_counter(reason).inc()


def record_rate_limit_failure() -> None:
    """Record a request whose rate could not be counted."""
    _rate_limit_failures.inc()


def record_image(model: str, labels: Sequence[str], class_ids: NDArray[np.int32], *, size: int, pixels: int) -> None:
    """Record an image and the objects detected in it.

    Args:
        model: Name of the model.
        labels: Class labels by class id.
        class_ids: Class id of each object, int32 [objects].
        size: Size of the encoded image in bytes.
        pixels: Width times height.
    """
    _image_bytes.observe(size)
    _image_pixels.observe(pixels)
    for class_id, count in enumerate(np.bincount(class_ids, minlength=1).tolist() if len(class_ids) else ()):
        if count:
            label = labels[class_id] if class_id < len(labels) else OTHER
            _detections.labels(model, label).inc(count)


def record_replica(replica: str, *, serving: bool) -> None:
    """Record whether one of several Tritons, host:port, gets requests."""
    _replica_serving.labels(replica).set(serving)


def record_replica_request(replica: str, outcome: Literal["answered", "failed", "cancelled"]) -> None:
    """Record an inference that one of several Tritons was asked for."""
    _replica_counter(replica, outcome).inc()


def record_ejection(replica: str) -> None:
    """Record that one of several Tritons gets no requests because it failed."""
    _ejections.labels(replica).inc()


def record_retry() -> None:
    """Record an inference that was sent to a second Triton."""
    _retries.inc()


def forget_replica(replica: str) -> None:
    """Remove the metrics of a Triton that is gone; in worker processes, which cannot do that, it serves no longer."""
    if FOLDER_VARIABLE in os.environ:
        _replica_serving.labels(replica).set(0)
        return
    for outcome in ("answered", "failed", "cancelled"):
        _replica_requests.remove(replica, outcome)
    _replica_counter.cache_clear()
    _replica_serving.remove(replica)
    _ejections.remove(replica)


def render() -> bytes:
    """All metrics in Prometheus' text format 0.0.4; blocks for a few milliseconds."""
    if FOLDER_VARIABLE not in os.environ:
        return generate_latest(_registry)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def metric_rows() -> Iterator[MetricRow]:
    """Every metric, in the order of their definition."""
    yield from _rows


def metrics_markdown() -> str:
    """The metrics as the Markdown table of docs/gateway.md."""
    lines = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for row in metric_rows():
        labels = ", ".join(f"`{label}`" for label in row.labels) or "none"
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.meaning} |")
    return "\n".join(lines) + "\n"


# `labels()` takes a lock and formats strings at every call; the sets of values are small enough to cache.
@cache
def _request_counter(path: str, method: str, code: int) -> Counter:
    return _requests.labels(path, method, code)


@cache
def _rejected_counter(reason: str) -> Counter:
    return _rejected.labels(reason)


@cache
def _request_histogram(path: str) -> Histogram:
    return _request_seconds.labels(path)


@cache
def _stage_histogram(stage: Stage) -> Histogram:
    return _stage_seconds.labels(stage)


@cache
def _replica_counter(replica: str, outcome: str) -> Counter:
    return _replica_requests.labels(replica, outcome)

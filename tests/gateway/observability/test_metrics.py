"""The metrics of `/metrics`."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.observability import metrics

PATH = "/small-object-detection"

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(client: httpx.AsyncClient) -> Samples:
    """The samples; every family is named, typed and there once."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


@pytest.fixture
def risen(gateway: httpx.AsyncClient) -> Callable[[], Any]:
    """From its second call on, by how much each sample has risen since the call before."""
    before: dict[Any, float] = {}

    async def difference() -> Callable[..., float]:
        now = await scrape(gateway)
        old = dict(before)
        before.update(now)
        return lambda name, **labels: value(now, name, **labels) - value(old, name, **labels)

    return difference


async def test_an_image_is_counted(
    gateway: httpx.AsyncClient, risen: Any, image: bytes, image64: str, triton: Any
) -> None:
    await risen()
    answer = await gateway.post(PATH, json={"image": image64, "threshold": 0.2})
    assert answer.status_code == 200
    assert (await gateway.post(PATH, json={"image": image64, "visualize": False})).status_code == 200
    rose = await risen()
    assert rose("sod_requests_total", path=PATH, method="POST", code="200") == 2
    assert rose("sod_request_seconds_count", path=PATH) == 2
    assert rose("sod_request_seconds_sum", path=PATH) > 0
    assert rose("sod_stage_seconds_count", stage="infer") == 2
    assert rose("sod_stage_seconds_count", stage="draw") == 1
    assert rose("sod_image_bytes_sum") == 2 * len(image)
    assert rose("sod_image_pixels_sum") == 2 * 100 * 80
    model = triton.names[0]
    assert rose("sod_detections_total", model=model, label="pedestrian") == 5  # 3 above 0.2, 2 above 0.5
    assert rose("sod_detections_total", model=model, label="car") == 3
    assert rose("sod_detections_total", model=model, label="bus") == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "labels"),
    [
        ("POST", PATH, b"{}", {"path": PATH, "method": "POST", "code": "422"}),
        ("POST", PATH + "?x=1", b"x" * 3000, {"path": PATH, "method": "POST", "code": "413"}),  # before it is routed
        ("GET", PATH, b"", {"path": PATH, "method": "GET", "code": "405"}),
        ("GET", "/health/live", b"", {"path": "/health/live", "method": "GET", "code": "200"}),
        ("GET", "/wp-login.php", b"", {"path": "other", "method": "GET", "code": "404"}),
        ("BREW", "/coffee", b"", {"path": "other", "method": "other", "code": "404"}),
    ],
)
async def test_requests_by_path_method_and_code(
    make_gateway: Any, method: str, path: str, body: bytes, labels: dict[str, str]
) -> None:
    async with make_gateway(max_body_bytes=2000) as gateway:
        before = await scrape(gateway)
        await gateway.request(method, path, content=body)
        after = await scrape(gateway)
    risen = value(after, "sod_requests_total", **labels) - value(before, "sod_requests_total", **labels)
    assert risen == 1


async def test_unknown_paths_methods_and_models_make_no_series(gateway: httpx.AsyncClient) -> None:
    await gateway.get("/first")
    before = await scrape(gateway)
    for number in range(20):
        await gateway.request(f"METHOD{number}", f"/made-up/{number}")
        await gateway.post(PATH, json={"image": "x", "model": f"none-{number}"})
    added = {name for name, _ in (await scrape(gateway)).keys() - before.keys()}
    assert added <= {"sod_requests_total", "sod_request_seconds_bucket", "sod_stage_seconds_bucket"} | {
        f"sod_{what}_seconds_{part}" for what in ("request", "stage") for part in ("count", "sum")
    }
    samples = await scrape(gateway)
    assert sum("made-up" in str(labels) or "none-" in str(labels) for _, labels in samples) == 0
    assert not [labels for name, labels in samples if "METHOD" in dict(labels).get("method", "")]


async def test_requests_in_progress_are_counted(gateway: httpx.AsyncClient, triton: Any, image64: str) -> None:
    triton.hold = asyncio.Event()
    before = await scrape(gateway)
    under_way = asyncio.create_task(gateway.post(PATH, json={"image": image64}))
    async with asyncio.timeout(60):
        await triton.arrived.wait()
    during = await scrape(gateway)
    triton.hold.set()
    await under_way
    after = await scrape(gateway)
    values = [value(samples, "sod_requests_in_flight") for samples in (before, during, after)]
    assert values == [values[0], values[0] + 1, values[0]]


async def test_readiness(gateway: httpx.AsyncClient, make_gateway: Any, triton: Any) -> None:
    assert (await gateway.get("/health/ready")).status_code == 200
    assert value(await scrape(gateway), "sod_ready") == 1
    await triton.stop()
    async with make_gateway() as other:
        assert (await other.get("/health/ready")).status_code == 503
    assert value(await scrape(gateway), "sod_ready") == 0


async def test_rejections_and_slots_are_exported(gateway: httpx.AsyncClient) -> None:
    before = await scrape(gateway)
    metrics.record_rejection("slots")
    metrics.waiting.set(3)
    metrics.slots.set(2)
    after = await scrape(gateway)
    metrics.waiting.set(0)
    metrics.slots.set(0)
    assert value(after, "sod_rejected_total", reason="slots") - value(before, "sod_rejected_total", reason="slots") == 1
    assert value(after, "sod_queue_waiting") == 3
    assert value(after, "sod_slots_in_use") == 2


async def test_a_class_without_a_label_is_other(gateway: httpx.AsyncClient) -> None:
    metrics.record_image("odd", ["a"], np.array([0, 7, 7], np.int32), size=1, pixels=1)
    metrics.record_image("odd", ["a"], np.zeros(0, np.int32), size=1, pixels=1)
    samples = await scrape(gateway)
    assert value(samples, "sod_detections_total", model="odd", label="a") == 1
    assert value(samples, "sod_detections_total", model="odd", label="other") == 2


async def test_labels_of_any_script_are_valid(gateway: httpx.AsyncClient) -> None:
    label = '行人 "a"\\\n'
    metrics.record_image("strange", [label], np.array([0], np.int32), size=1, pixels=1)
    assert value(await scrape(gateway), "sod_detections_total", model="strange", label=label) == 1


async def test_the_table_has_every_metric_with_its_labels(gateway: httpx.AsyncClient, image64: str) -> None:
    await gateway.post(PATH, json={"image": image64, "threshold": 0.1})
    metrics.record_rejection("slots")
    rows = {row.name: row for row in metrics.metric_rows()}
    shown = {
        (re.sub(r"_(bucket|sum|count)$", "", name), frozenset(key for key, _ in labels if key != "le"))
        for name, labels in await scrape(gateway)
    }
    without_triton = {row.name: frozenset(row.labels) for row in rows.values() if row is not metrics.TRITON_UP}
    assert dict(shown) == without_triton
    assert len(shown) == len(without_triton)


def test_the_buckets_fit() -> None:
    assert metrics.SECONDS[0] <= 0.005
    assert metrics.SECONDS[-1] == 60

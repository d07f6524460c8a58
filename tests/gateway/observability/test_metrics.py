"""The metrics of `/metrics`."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import serve
from gateway.limits.rate_limit import parse_rates
from gateway.observability import metrics
from gateway.security.api_keys import parse_api_keys
from gateway.settings import Settings
from tests.gateway.live import RawClient, listening
from tests.hostile import images

PATH = "/small-object-detection"
REJECTED = "sod_rejected_total"

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


def rejections(samples: Samples) -> Counter[str]:
    """`sod_rejected_total` by reason."""
    counts = {dict(labels).get("reason", ""): count for (name, labels), count in samples.items() if name == REJECTED}
    return Counter({reason: int(count) for reason, count in counts.items()})


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


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (images.progressive_jpeg(64, 501), "scans"),
        (images.jpeg_exif(140), "metadata"),
        (images.png_texts(3000), "parts"),
        (images.png_in_pieces(70_000), "pixel_parts"),
        (images.png_compressed_texts(17, 10), "compressed"),
        (images.jpeg_with(b"\xff" * 100_000), "padding"),
        (images.tiff_told_twice(64, 32), "ambiguous"),
        (images.tiff_tiles(9000), "pixels"),
        (b"no image", "invalid_image"),
        (bytes(2_000_000), "image_bytes"),
        (bytes(3_000_000), "body_bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_refused_images_are_counted_by_kind(make_gateway: Any, data: bytes, reason: str) -> None:
    limits = {"max_image_bytes": 1_999_999, "max_body_bytes": 2_000_000} if reason.endswith("_bytes") else {}
    async with make_gateway(**limits) as gateway:
        before = await scrape(gateway)
        answer = await gateway.post(PATH, content=data, headers={"content-type": "image/jpeg"})
        assert answer.status_code in (413, 422), answer.text
        rose = rejections(await scrape(gateway)) - rejections(before)
    assert rose == Counter({reason: 1})
    assert f"`{reason}`" in metrics.metrics_markdown()


async def test_other_refusals_are_counted_by_kind(make_gateway: Any, triton: Any, image64: str) -> None:
    keys = parse_api_keys(f"me:{'0' * 64}")
    async with make_gateway(api_keys=keys) as closed, make_gateway(rate_limit=parse_rates("1/day")) as limited:
        before = await scrape(limited)
        assert (await closed.post(PATH, json={"image": image64})).status_code == 401
        assert (await limited.post(PATH, json={"image": image64})).status_code == 200
        assert (await limited.post(PATH, json={"image": image64})).status_code == 429
        after = await scrape(limited)
    async with make_gateway() as gateway:
        triton.error_output = b"damaged"
        assert (await gateway.post(PATH, json={"image": image64, "visualize": False})).status_code == 422
        last = await scrape(gateway)
    assert rejections(after) - rejections(before) == Counter(key=1, rate=1)
    assert rejections(last) - rejections(after) == Counter(undecodable=1)


async def test_refusals_of_the_http_parser_are_counted_by_kind(gateway: httpx.AsyncClient) -> None:
    limits = serve.connection_limits(Settings())
    before = await scrape(gateway)
    async with listening(gateway.app, limits) as port:  # type: ignore[attr-defined]
        for data, status in (
            (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000, 431),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"no HTTP\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"e" * 200_000, 400),
        ):
            async with RawClient(port) as client:
                await client.send(data)
                assert (await client.read_answer())[0] == status
    rose = rejections(await scrape(gateway)) - rejections(before)
    assert rose == Counter(headers=1, host=1, http=1, framing=1)
    assert all(f"`{reason}`" in metrics.metrics_markdown() for reason in rose)


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
    metrics.record_replica("triton:1", serving=True)
    metrics.record_replica_request("triton:1", "answered")
    metrics.record_ejection("triton:1")
    rows = {row.name: row for row in metrics.metric_rows()}
    shown = {
        (re.sub(r"_(bucket|sum|count)$", "", name), frozenset(key for key, _ in labels if key != "le"))
        for name, labels in await scrape(gateway)
    }
    without_triton = {row.name: frozenset(row.labels) for row in rows.values() if row is not metrics.TRITON_UP}
    assert dict(shown) == without_triton
    assert len(shown) == len(without_triton)
    metrics.forget_replica("triton:1")
    assert not any(("replica", "triton:1") in labels for _, labels in await scrape(gateway))


def test_the_buckets_fit() -> None:
    assert metrics.SECONDS[0] <= 0.005
    assert metrics.SECONDS[-1] == 60

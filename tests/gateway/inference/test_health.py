"""Liveness, and readiness by evidence."""

import asyncio
import logging
from typing import Any

import cv2
import grpc
import httpx
import numpy as np
import pytest

from gateway.drain import Drain
from gateway.inference.health import Readiness
from gateway.inference.model_catalogue import ModelInfo
from gateway.inference.single_flight import SingleFlight

PATH = "/small-object-detection"
DEAD_STUB = (grpc.StatusCode.INTERNAL, "in ensemble 'X', Stub process 'preprocess_640_0_0' is not healthy.")


async def ready(gateway: httpx.AsyncClient) -> int:
    response = await gateway.get("/health/ready")
    document = response.json()
    assert document["logId"]
    if response.status_code == 200:
        assert (document["errorCode"], document["errorMsg"]) == (0, "Healthy")
    else:
        assert document["errorCode"] == response.status_code
    return response.status_code


@pytest.mark.parametrize("path", ["/health", "/health/live"])
async def test_alive_without_triton(gateway: httpx.AsyncClient, triton: Any, path: str) -> None:
    await triton.stop()
    response = await gateway.get(path)
    assert response.status_code == 200
    document = response.json()
    assert document.pop("logId")
    assert document == {"errorCode": 0, "errorMsg": "Healthy"}


async def test_ready_sends_an_image_through_the_ensemble(gateway: httpx.AsyncClient, triton: Any) -> None:
    assert await ready(gateway) == 200
    (canary,) = triton.images
    assert cv2.imdecode(np.frombuffer(canary, np.uint8), cv2.IMREAD_COLOR) is not None
    assert len(canary) < 2000
    assert triton.thresholds == [[1.0] * 10]  # nothing to keep


async def test_a_try_speaks_for_a_while(make_gateway: Any, triton: Any) -> None:
    async with make_gateway(ready_ttl=1000) as gateway:
        assert [await ready(gateway) for _ in range(5)] == [200] * 5
    assert len(triton.images) == 1
    async with make_gateway(ready_ttl=0) as gateway:
        assert [await ready(gateway) for _ in range(5)] == [200] * 5
    assert len(triton.images) == 6


async def test_one_try_for_all_who_ask(gateway: httpx.AsyncClient, triton: Any) -> None:
    triton.hold = asyncio.Event()
    asking = [asyncio.create_task(ready(gateway)) for _ in range(10)]
    async with asyncio.timeout(10):
        await triton.arrived.wait()
    asking[0].cancel()  # the one that started it leaves
    triton.hold.set()
    assert await asyncio.gather(*asking[1:]) == [200] * 9
    assert len(triton.images) == 1


async def test_a_real_inference_is_evidence(make_gateway: Any, triton: Any, image64: str) -> None:
    async with make_gateway(ready_ttl=1000) as gateway:
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 200
        assert await ready(gateway) == 200
        assert len(triton.images) == 1

        triton.fails = DEAD_STUB  # and a failure takes it away
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 503
        assert await ready(gateway) == 503


async def test_dead_stub_and_recovery(make_gateway: Any, triton: Any, image64: str) -> None:
    async with make_gateway(ready_ttl=0) as gateway:
        assert await ready(gateway) == 200
        triton.fails = DEAD_STUB
        response = await gateway.get("/health/ready")
        assert response.status_code == 503
        assert "has died" in response.json()["errorMsg"]
        triton.fails = None
        assert await ready(gateway) == 200
    async with make_gateway(ready_ttl=1000) as gateway:
        triton.fails = DEAD_STUB
        assert [await ready(gateway) for _ in range(3)] == [503] * 3
        asked = len(triton.images)
        assert await ready(gateway) == 503  # a refusal is kept as well
        assert len(triton.images) == asked
        triton.fails = None
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 200
        assert await ready(gateway) == 200  # but not against evidence


async def test_a_change_is_logged_once(make_gateway: Any, triton: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with make_gateway(ready_ttl=0) as gateway:
        with caplog.at_level(logging.INFO, "gateway"):
            for fails in (None, None, DEAD_STUB, DEAD_STUB, None):
                triton.fails = fails
                await ready(gateway)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["ready", "not ready: A stage of the model has died in the inference server; try again", "ready"]


async def test_triton_gone_hanging_or_without_model(make_gateway: Any, triton: Any) -> None:
    async with make_gateway(ready_ttl=0, ready_timeout=0.3) as gateway:
        triton.hold = asyncio.Event()
        response = await gateway.get("/health/ready")
        assert response.status_code == 503
        assert "within 0.3 s" in response.json()["errorMsg"]
        triton.hold.set()
        assert await ready(gateway) == 200
        triton.fails = (grpc.StatusCode.INVALID_ARGUMENT, "in ensemble 'X', I read no images today")
        response = await gateway.get("/health/ready")
        assert response.status_code == 503
        assert "I read no images today" in response.json()["errorMsg"]
        await triton.stop()
        assert await ready(gateway) == 503


async def test_a_busy_triton_is_ready(make_gateway: Any, triton: Any, image64: str) -> None:
    async with make_gateway(ready_ttl=0) as gateway:
        assert (await gateway.post(PATH, json={"image": image64})).status_code == 200
        triton.hold = asyncio.Event()
        at_work = [asyncio.create_task(gateway.post(PATH, json={"image": image64})) for _ in range(3)]
        async with asyncio.timeout(10):
            await triton.arrived.wait()
        assert [await ready(gateway) for _ in range(3)] == [200] * 3  # though no try can finish
        triton.fails = DEAD_STUB
        triton.hold.set()
        assert [response.status_code for response in await asyncio.gather(*at_work)] == [503] * 3
        assert await ready(gateway) == 503


class SlowDetector:
    """Stands for a `TritonDetector` whose readiness image is never answered."""

    seconds_since_success: float | None = None
    seconds_of_success = 0.0

    async def model_info(self) -> ModelInfo:
        return ModelInfo("M", ("a",))

    async def infer(self, *_: Any) -> None:
        await asyncio.Event().wait()


async def until_tried(readiness: Readiness, says: str | None) -> None:
    async with asyncio.timeout(10):
        while await readiness.problem() != says:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("in_work", "request_timeout", "waited"), [(0, 60, "0.1"), (1, 60, "0.2"), (7, 60, "0.8"), (7, 0.1, "0.2")]
)
async def test_a_busy_triton_has_more_time(in_work: int, request_timeout: float, waited: str) -> None:
    detector: Any = SlowDetector()
    readiness = Readiness(
        detector, Drain(), ttl=0, timeout=0.1, request_timeout=request_timeout, in_work=lambda: in_work
    )
    assert await readiness.problem() == f"No inference finished within {waited} s"


async def test_what_succeeds_beside_the_try_counts() -> None:
    detector: Any = SlowDetector()
    work = 0
    readiness = Readiness(detector, Drain(), ttl=0, timeout=0.05, request_timeout=0.1, in_work=lambda: work)
    assert await readiness.problem() is not None
    detector.seconds_since_success = 1000.0  # before that try, and says nothing against it
    work = 1
    assert await readiness.problem() is not None
    detector.seconds_since_success = 0.0  # just now
    for _ in range(20):
        assert await readiness.problem() is None
        await asyncio.sleep(0.01)
    detector.seconds_since_success = 1000.0  # it has stopped: one try later that is known
    await until_tried(readiness, "No inference finished within 0.1 s")
    await readiness.close()


async def test_a_slow_model_at_work_is_tried_only_when_overdue() -> None:
    class Counting(SlowDetector):
        tries = 0

        async def infer(self, *_: Any) -> None:
            self.tries += 1

    detector: Any = Counting()
    work = 0
    readiness = Readiness(detector, Drain(), ttl=0, timeout=1, request_timeout=60, in_work=lambda: work)
    assert await readiness.problem() is None
    work, detector.seconds_of_success, detector.seconds_since_success = 2, 7.0, 13.0
    for _ in range(5):
        assert await readiness.problem() is None
        await asyncio.sleep(0.005)
    assert detector.tries == 1
    detector.seconds_since_success = 15.0
    async with asyncio.timeout(10):
        while detector.tries == 1:
            assert await readiness.problem() is None
            await asyncio.sleep(0.005)
    await readiness.close()


async def test_single_flight_shares_results_and_exceptions() -> None:
    runs = 0
    shedder = asyncio.Event()

    async def work() -> int:
        nonlocal runs
        runs += 1
        run = runs
        await shedder.wait()
        if run == 1:
            raise ValueError("the first fails")
        return run

    flight = SingleFlight(work)
    callers = [asyncio.create_task(flight()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    shedder.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(result) for result in results] == ["the first fails"] * 3
    assert await flight() == 2
    assert await flight() == 3
    shedder.clear()
    waiting = asyncio.create_task(flight())
    await asyncio.sleep(0)
    await flight.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting

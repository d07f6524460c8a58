"""A gateway with several Tritons of which some fail, hang, are slow, or have other models."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from gateway.errors import GatewayTimeoutError
from gateway.inference import triton_client
from gateway.inference.postprocess import PostprocessOptions
from gateway.inference.replicas import pool as pool_module
from gateway.inference.replicas import replica as replica_module
from gateway.inference.triton_client import TritonDetector
from gateway.settings import Settings
from sod.triton_addresses import TritonAddresses
from tests.gateway.conftest import MODEL, FakeTriton, MakeGateway, encode

PATH = "/small-object-detection"
DEAD_STUB = (grpc.StatusCode.INTERNAL, "Stub process 'preprocess_640_0_0' is not healthy.")
LOADING = (grpc.StatusCode.UNAVAILABLE, "Request for unknown model: 'PP' has no available versions")
FULL = (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")


@pytest.fixture
async def tritons(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[FakeTriton]]:
    monkeypatch.setattr(pool_module, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(pool_module, "_LONGEST_PAUSE_S", 0.2)
    servers = [FakeTriton() for _ in range(3)]
    for server in servers:
        await server.start()
    yield servers
    for server in servers:
        if server.hold is not None:
            server.hold.set()
        await server.stop()


def urls(tritons: list[FakeTriton]) -> str:
    return ",".join(f"127.0.0.1:{one.port}" for one in tritons)


@pytest.fixture
async def gateway(tritons: list[FakeTriton], make_gateway: MakeGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with make_gateway(triton_url=urls(tritons), max_concurrency=64, max_queue=200) as client:
        yield client


async def post(gateway: httpx.AsyncClient, **more: Any) -> httpx.Response:
    image = base64.b64encode(encode(".jpg")).decode()
    return await gateway.post(PATH, json={"image": image, "visualize": False, **more})


async def post_many(gateway: httpx.AsyncClient, count: int, **more: Any) -> list[int]:
    """The statuses of requests of eight clients."""
    pending, statuses = iter(range(count)), []

    async def ask() -> None:
        for _ in pending:
            statuses.append((await post(gateway, **more)).status_code)

    await asyncio.gather(*(ask() for _ in range(8)))
    return statuses


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await condition():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.05)


async def metric(gateway: httpx.AsyncClient, name: str, triton: FakeTriton, **labels: str) -> float:
    wanted = {"replica": f"127.0.0.1:{triton.port}", **labels}
    line = name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(wanted.items())) + "} "
    for found in (await gateway.get("/metrics")).text.splitlines():
        if found.startswith(line):
            return float(found.removeprefix(line))
    return 0.0


async def test_each_gets_its_share(gateway: httpx.AsyncClient, tritons: list[FakeTriton]) -> None:
    assert set(await post_many(gateway, 90)) == {200}
    counts = [len(one.images) for one in tritons]
    assert sum(counts) == 90
    assert min(counts) >= 8, counts
    assert await metric(gateway, "sod_triton_requests_total", tritons[0], outcome="answered") == counts[0]


@pytest.mark.parametrize("fails", [DEAD_STUB, LOADING, FULL])
async def test_a_failure_is_retried_on_another(
    gateway: httpx.AsyncClient, tritons: list[FakeTriton], fails: tuple[grpc.StatusCode, str]
) -> None:
    tritons[1].fails = fails
    assert set(await post_many(gateway, 40)) == {200}
    ejected = await metric(gateway, "sod_triton_ejections_total", tritons[1])
    assert ejected == (1 if fails is DEAD_STUB else 0), "a full queue and an absent model are not the Triton's fault"


async def test_one_that_is_gone_is_left_out_and_comes_back(
    gateway: httpx.AsyncClient, tritons: list[FakeTriton]
) -> None:
    assert set(await post_many(gateway, 30)) == {200}
    await tritons[0].stop()
    assert set(await post_many(gateway, 60)) == {200}
    assert await metric(gateway, "sod_triton_serving", tritons[0]) == 0
    assert await metric(gateway, "sod_triton_requests_total", tritons[0], outcome="failed") <= 8
    assert (await gateway.get("/health/ready")).status_code == 200
    await tritons[0].start()
    before = len(tritons[0].images)

    async def has_share() -> bool:
        await post_many(gateway, 16)
        return len(tritons[0].images) > before + 10

    await until(has_share)
    assert await metric(gateway, "sod_triton_serving", tritons[0]) == 1


async def test_an_image_that_is_refused_is_not_retried(gateway: httpx.AsyncClient, tritons: list[FakeTriton]) -> None:
    for one in tritons:
        one.fails = (grpc.StatusCode.INVALID_ARGUMENT, "the JPEG image cannot be decoded")
    assert (await post(gateway)).status_code == 422
    assert sum(len(one.names) for one in tritons) == 1


async def test_all_fail(gateway: httpx.AsyncClient, tritons: list[FakeTriton]) -> None:
    assert (await post(gateway)).status_code == 200
    for one in tritons:
        one.fails = DEAD_STUB
    for _ in range(5):
        assert (await post(gateway)).status_code == 503
    assert (await gateway.get("/health/ready")).status_code == 503
    for one in tritons:
        one.fails = None
    assert (await post(gateway)).status_code == 200, "if all are ejected, all are asked"


async def test_one_that_answers_nothing(
    make_gateway: MakeGateway, tritons: list[FakeTriton], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "_SHORTEST_PATIENCE_S", 1.0)
    async with make_gateway(triton_url=urls(tritons), max_concurrency=64, ready_timeout=1) as gateway:
        assert set(await post_many(gateway, 60)) == {200}
        tritons[2].hold = asyncio.Event()

        async def is_left_out() -> bool:
            assert set(await post_many(gateway, 30)) == {200}
            return await metric(gateway, "sod_triton_serving", tritons[2]) == 0

        await until(is_left_out)
        assert tritons[2].most_held <= 8
        await until(lambda: _is(lambda: tritons[2].cancelled > 0))
        tritons[2].hold.set()
        tritons[2].hold = None

        async def serves() -> bool:
            return await metric(gateway, "sod_triton_serving", tritons[2]) == 1

        await until(serves)


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_all_hang_until_the_deadline(tritons: list[FakeTriton]) -> None:
    for one in tritons:
        one.hold = asyncio.Event()
    addresses = TritonAddresses.parse(urls(tritons))
    async with TritonDetector(addresses, model=None, info_ttl=5, timeout=0.6) as detector:
        model = await detector.model_info()
        with pytest.raises(GatewayTimeoutError):
            await detector.infer(encode(".jpg"), PostprocessOptions(np.full(len(model.labels), 0.5, np.float32)), model)
    assert sum(bool(one.held or one.cancelled) for one in tritons) == 2, "one retry, on another"


async def test_a_slow_model_is_not_taken_for_a_silent_one(
    tritons: list[FakeTriton], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No Triton has been asked for this model yet, so half of the deadline must have passed before it is given up."""
    monkeypatch.setattr(replica_module, "_SHORTEST_PATIENCE_S", 0.05)
    addresses = TritonAddresses.parse(urls(tritons))
    for one in tritons:
        one.hold = asyncio.Event()
    async with TritonDetector(addresses, model=None, info_ttl=5, timeout=10) as detector:
        model = await detector.model_info()
        request = asyncio.create_task(
            detector.infer(encode(".jpg"), PostprocessOptions(np.full(len(model.labels), 0.5, np.float32)), model)
        )
        await asyncio.sleep(1)
        assert sum(one.held for one in tritons) == 1
        for one in tritons:
            assert one.hold is not None
            one.hold.set()
        assert len((await request).scores) == 3
    assert sum(len(one.images) for one in tritons) == 1


async def test_a_slow_one_gets_little(
    gateway: httpx.AsyncClient, tritons: list[FakeTriton], monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = FakeTriton.ModelInfer

    async def slowly(self: FakeTriton, request: Any, context: Any) -> Any:
        await asyncio.sleep(0.5 if self is tritons[0] else 0.02)
        return await infer(self, request, context)

    monkeypatch.setattr(FakeTriton, "ModelInfer", slowly)
    for one in tritons:  # the method is looked up when the server starts
        await one.stop()
        await one.start()
    assert set(await post_many(gateway, 150)) == {200}
    assert len(tritons[0].images) <= 15, [len(one.images) for one in tritons]


async def test_models_are_those_that_all_have(make_gateway: MakeGateway, tritons: list[FakeTriton]) -> None:
    tritons[0].add("only_here")
    for one in tritons:
        one.add("everywhere", labels=["a"])
    async with make_gateway(triton_url=urls(tritons), model_info_ttl=0) as gateway:
        models = (await gateway.get("/models")).json()["result"]["models"]
        assert [one["name"] for one in models] == [MODEL, "everywhere"]
        assert (await post(gateway, model="only_here")).status_code == 422
        assert (await post(gateway, model="everywhere")).status_code == 200


async def test_while_a_model_changes_those_that_have_most_are_asked(
    make_gateway: MakeGateway, tritons: list[FakeTriton]
) -> None:
    tritons[1].add(MODEL, labels=["a", "b", "c", "d"])
    async with make_gateway(triton_url=urls(tritons), model_info_ttl=0) as gateway:
        assert set(await post_many(gateway, 20)) == {200}
        assert not tritons[1].images
        tritons[0].add(MODEL, labels=["a", "b", "c", "d"])
        response = await post(gateway)
        assert response.json()["result"]["detectedObjects"][-1]["categoryName"] == "d"


async def test_with_several_the_hash_of_the_weights_is_that_of_all(
    make_gateway: MakeGateway, tritons: list[FakeTriton]
) -> None:
    def tell(triton: FakeTriton, letter: str) -> None:
        triton.add(MODEL, sha256=f'"{64 * letter}"')

    async def told(gateway: httpx.AsyncClient) -> str | None:
        (model,) = (await gateway.get("/models")).json()["result"]["models"]
        return model["sha256"]

    for one in tritons:
        tell(one, "a")
    async with make_gateway(triton_url=urls(tritons), model_info_ttl=0) as gateway:
        assert await told(gateway) == "a" * 64
        tell(tritons[2], "b")
        assert await told(gateway) is None
        assert set(await post_many(gateway, 30)) == {200}
        assert tritons[2].images, "a TensorRT plan of its own is no other model"
        tritons[2].add(MODEL)
        assert await told(gateway) is None


class Names:
    """A name server."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = ["127.0.0.1"]

    def __call__(self, _threads: int) -> Callable[[str], Awaitable[list[str]]]:
        async def look_up(_name: str) -> list[str]:
            if self.addresses is None:
                raise OSError(-3, "Temporary failure in name resolution")
            return self.addresses

        return look_up


async def test_addresses_of_a_name_come_and_go(
    make_gateway: MakeGateway, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names()
    monkeypatch.setattr(pool_module, "SystemResolver", names)
    url = f"dns:///triton.test:{triton.port}"
    async with make_gateway(triton_url=url, triton_resolve_interval=0.1, ready_timeout=0.5) as gateway:
        assert set(await post_many(gateway, 8)) == {200}
        names.addresses = ["127.0.0.1", "127.0.0.2"]  # nobody listens there, so that it never serves
        unused = f'sod_triton_serving{{replica="127.0.0.2:{triton.port}"}} 0.0'

        async def is_known() -> bool:
            return unused in (await gateway.get("/metrics")).text

        await until(is_known)
        assert set(await post_many(gateway, 16)) == {200}
        names.addresses = None  # the name server fails: what is known stays
        await asyncio.sleep(0.3)
        assert await is_known()
        assert (await post(gateway)).status_code == 200
        names.addresses = ["127.0.0.1"]
        await until(lambda: _not(is_known))
        assert (await post(gateway)).status_code == 200


async def _not(condition: Callable[[], Awaitable[bool]]) -> bool:
    return not await condition()


async def test_a_name_without_addresses(
    make_gateway: MakeGateway, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names()
    names.addresses = None
    monkeypatch.setattr(pool_module, "SystemResolver", names)
    async with make_gateway(triton_url=f"dns:///a:{triton.port}", triton_resolve_interval=0.1) as gateway:
        response = await post(gateway)
        assert response.status_code == 503, response.text
        names.addresses = ["127.0.0.1"]

        async def answers() -> bool:
            return (await post(gateway)).status_code == 200

        await until(answers)


def test_the_probe_is_encoded_once() -> None:
    assert triton_client.probe_image() is triton_client.probe_image()


def test_a_wrong_setting_is_said() -> None:
    with pytest.raises(ValueError, match="'http://a:8000' is not the address of a Triton"):
        Settings(triton_url="http://a:8000")

"""A server whose detector finds bright rectangles."""

from collections.abc import Iterator

import pytest
from sod_client.pipeline import Pipeline, create_pipeline

from tests.clients.conftest import FakeServer


@pytest.fixture
def spots() -> Iterator[FakeServer]:
    from tests.clients.scenes.scene_server import served

    fake = served()
    yield fake
    fake.close()


@pytest.fixture
def pipeline(spots: FakeServer) -> Iterator[Pipeline]:
    with create_pipeline(url=spots.url) as made:
        yield made

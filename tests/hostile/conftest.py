"""A real server to attack; and, for fuzzing, the gateway in this process before a Triton that only answers."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, serve
from tests.gateway.conftest import gateway, make_gateway, triton
from tests.hostile.attacked_server import STREET, AttackedServer

__all__ = ["gateway", "make_gateway", "server", "triton"]


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[AttackedServer]:
    """The bundled demo model; leave it running and whole."""
    log = tmp_path_factory.mktemp("hostile") / "serve.log"
    with serve(REPOSITORY, log, free_ports(4), "--model", DEMO) as serving:
        yield AttackedServer(serving, STREET.read_bytes())

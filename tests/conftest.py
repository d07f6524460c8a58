"""What tests of several packages share."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures and models beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the shared test data lies outside the repository, in ../shared, and is not here")
    return SHARED


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Loopback ports that nobody listens on."""

    def find(count: int) -> list[int]:
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            return [one.getsockname()[1] for one in sockets]

    return find

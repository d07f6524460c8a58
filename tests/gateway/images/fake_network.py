"""A resolver that knows what it is told, and a network that writes down who is connected to."""

from collections.abc import Iterable

import httpcore

PUBLIC = "8.8.8.8"
PUBLIC_V6 = "2606:4700:4700::1111"


class FakeResolver:
    """Answers with `names`; where a name has several answers they come by turns, the last one again and again."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def add(self, name: str, *answers: list[str]) -> None:
        self.names[name] = list(answers)

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name not in self.names:
            raise OSError(-2, "Name or service not known")
        answers = self.names[name]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class FakeNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses on this machine's loopback, to all others as it is told.

    Attributes:
        connected: (address, port) of every connection that was asked for.
        dead: Addresses that refuse.
    """

    def __init__(self) -> None:
        self.connected: list[tuple[str, int]] = []
        self.dead: set[str] = set()
        self._real = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        if host in self.dead:
            raise httpcore.ConnectError("refused")
        target = "127.0.0.1" if host in (PUBLIC, PUBLIC_V6) else host
        return await self._real.connect_tcp(target, port, timeout, local_address, socket_options)

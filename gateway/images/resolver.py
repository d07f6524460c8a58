"""Host names to addresses, by the system's resolver, which knows no time limit and cannot be stopped."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable

Resolver = Callable[[str], Awaitable[list[str]]]
"""From a host name to its addresses, each once or oftener; raises OSError if there are none."""


class SystemResolver:
    """Looks names up in threads, a bounded number at once.

    A thread whose asker has given up counts until it is done. The threads are daemons: a name server that does not
    answer cannot hold up the end of the process.
    """

    def __init__(self, threads: int) -> None:
        self._free = asyncio.Semaphore(threads)

    async def __call__(self, name: str) -> list[str]:
        """All addresses of a host, in the order in which they should be tried.

        Raises:
            OSError: it has none, or no name server answers.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def settle(addresses: list[str], error: Exception | None) -> None:
            self._free.release()
            if answer.done():  # nobody waits any more
                return
            if error is None:
                answer.set_result(addresses)
            else:
                answer.set_exception(error)

        def look_up() -> None:
            addresses: list[str] = []
            failure: Exception | None = None
            try:
                addresses = _getaddrinfo(name)
            except Exception as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, addresses, failure)

        try:
            threading.Thread(target=look_up, name="resolver", daemon=True).start()
        except RuntimeError as error:  # the machine has no thread left
            settle([], OSError(str(error)))
        return await answer


def _getaddrinfo(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # its own idea of what a name may be
        raise OSError(str(error)) from error
    return [str(address[0]) for *_, address in found]

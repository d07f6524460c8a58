"""DNS lookups with the system's resolver, which has no time limit and cannot be cancelled."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable

Resolver = Callable[[str], Awaitable[list[str]]]
"""From a host name to its addresses, perhaps with duplicates; raises OSError if there are none."""


class SystemResolver:
    """Runs lookups in a bounded number of threads.

    A thread whose caller has given up still counts until it ends. The threads are daemons, so that an unresponsive
    name server cannot delay the exit of the process.
    """

    def __init__(self, threads: int) -> None:
        self._free = asyncio.Semaphore(threads)

    async def __call__(self, name: str) -> list[str]:
        """All addresses of a host, in the order in which they should be tried.

        Raises:
            OSError: The host has no address, or no name server responds.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        result: asyncio.Future[list[str]] = loop.create_future()

        def settle(addresses: list[str], error: Exception | None) -> None:
            self._free.release()
            if result.done():  # the caller has given up
                return
            if error is None:
                result.set_result(addresses)
            else:
                result.set_exception(error)

        def look_up() -> None:
            addresses: list[str] = []
            failure: Exception | None = None
            try:
                addresses = _getaddrinfo(name)
            except Exception as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(settle, addresses, failure)

        try:
            threading.Thread(target=look_up, name="resolver", daemon=True).start()
        except RuntimeError as error:  # no more threads can be started
            settle([], OSError(str(error)))
        return await result


def _getaddrinfo(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # the name is invalid for Python's IDNA codec
        raise OSError(str(error)) from error
    return [str(address[0]) for *_, address in found]

"""What `Pipeline` and `AsyncPipeline` share: settings, the way to the server, and calls under way."""

import asyncio
import logging
import os
import threading
import warnings
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from sod_client import _thresholds
from sod_client._config import ignored, read_config
from sod_client._inputs.fetch import Fetcher
from sod_client._inputs.items import Item
from sod_client._inputs.sources import ImageInput, expand, is_single, items
from sod_client._local_server.device import Placement, parse_device, place
from sod_client._local_server.server import LocalServer
from sod_client._thresholds import Threshold
from sod_client._transport.grpc import GrpcTransport
from sod_client._transport.http import HttpTransport
from sod_client._transport.interface import Question, Transport
from sod_client._transport.pool import Pool
from sod_client._transport.window import OnError, Window
from sod_client.errors import ConnectionFailedError, InvalidConfigError, InvalidInputError, SodError, SodWarning
from sod_client.result import Result

_LOG = logging.getLogger("sod_client")
_GRPC = "grpc://"
_KEPT_ERRORS = 1000


class _Closable(Protocol):
    def close(self) -> None: ...


class Core:
    """One pipeline's settings and resources.

    `open` makes the connections, and starts the local server if there is no other; everything is closed by `close`,
    or when nobody holds the core any more, or when the process ends.

    The arguments are those of `create_pipeline`.
    """

    def __init__(  # noqa: PLR0913 - a user's settings, by name
        self,
        pipeline: str | os.PathLike[str] | None,
        *,
        config: Mapping[str, Any] | None,
        device: str | None,
        use_hpip: bool | None,
        url: str | None,
        model: str | None,
        api_key: str | None,
        timeout: float,
        retries: int,
        max_in_flight: int,
        paddlex: Mapping[str, object],
    ) -> None:
        described = read_config(pipeline, config)
        ignored(paddlex)
        self.model = model or described.model_name
        self.threshold = described.threshold
        self.device = device
        self.use_hpip = described.use_hpip if use_hpip is None else use_hpip
        self.errors: deque[SodError] = deque(maxlen=_KEPT_ERRORS)
        self._api_key = _header_value("the API key", api_key or os.environ.get("SOD_API_KEY") or None)
        self._timeout = _positive("timeout", timeout)
        self._retries = _count("retries", retries, 0)
        self._at_once = _count("max_in_flight", max_in_flight, 1)
        self._url = url if url is not None else os.environ.get("SOD_URL") or None
        self._placement = self._place(device, use_hpip)
        if described.model_dir is not None:
            name = f" --name {self.model}" if self.model else ""
            warnings.warn(
                f"model_dir {described.model_dir!r} is not read here, the served model {self.model or 'by default'} "
                f"answers; `sod export --model_dir {described.model_dir}{name}` makes a served model of it",
                SodWarning,
                stacklevel=4,
            )
        self._lock = threading.Lock()
        self._resources: list[_Closable] = []
        self._transport: Transport | None = None
        self._finalizer = weakref.finalize(self, _close, self._resources)
        # Twice: while some images are asked for, the next ones are read and encoded, and the last replies parsed.
        self._pool = Pool(2 * self._at_once)
        self._fetcher = Fetcher(self._timeout)
        self._resources += [self._pool, self._fetcher]
        if self._url is not None:  # so that a wrong address is refused at once
            self._connect(self._url)

    @property
    def url(self) -> str | None:
        """The server's address; None before the local server was started."""
        return None if self._transport is None else self._url

    def open(self) -> Transport:
        """The way to the server.

        Raises:
            LocalServerError: the local server does not start.
            DependencyError: there is none.
            ConnectionFailedError: the pipeline was closed.
        """
        with self._lock:
            if not self._finalizer.alive:
                raise ConnectionFailedError("the pipeline was closed")
            if self._transport is None:
                server = LocalServer(self._placement, self.model)
                self._resources.append(server)
                self._connect(server.url)
            assert self._transport is not None  # noqa: S101 - of the line above
            return self._transport

    def close(self) -> None:
        """Close the connections and stop the local server."""
        self._finalizer()

    def call(  # noqa: PLR0913 - a call's settings, by name
        self,
        given: ImageInput | Iterable[ImageInput] | AsyncIterable[ImageInput],
        threshold: Threshold | None,
        *,
        batch_size: int | None,
        on_error: OnError,
        visualize: bool | None,
        model: str | None,
    ) -> "Call":
        """A call; nothing is read or sent yet. The arguments are those of `Pipeline.predict`.

        Raises:
            InvalidInputError: one of them does not fit.
        """
        if batch_size is not None:
            _count("batch_size", batch_size, 1)
        if not (callable(on_error) or on_error in ("raise", "skip")):
            raise InvalidConfigError(f"on_error is 'raise', 'skip' or a function, not {on_error!r}")
        iterable = isinstance(given, Iterable | AsyncIterable) and not isinstance(given, Mapping)
        if not (is_single(given) or iterable):
            raise InvalidInputError(f"an image is a path, a URL, bytes or an array, not {type(given).__name__}")
        threshold = self.threshold if threshold is None else threshold
        question = Question(_thresholds.checked(threshold), visualize, model or self.model)

        def skipped(error: SodError) -> None:
            self.errors.append(error)
            if callable(on_error):
                on_error(error)
            else:
                _LOG.warning("skipped: %s", error)

        return Call(self, given, question, Window(2 * self._at_once, None if on_error == "raise" else skipped))

    def submit(self, item: Item, question: Question) -> "Future[Result]":
        """Ask of one image in one of the threads."""
        transport = self.open()
        return self._pool.submit(lambda: transport.detect(item, question))

    def items_of(self, given: Any) -> Iterator[Item]:
        """The images of an input."""
        return items(given, self._fetcher, fetch_all=not self.open().fetches)

    def items_of_entry(self, entry: Any, number: int) -> Iterator[Item]:
        """The images of one entry of an input."""
        return expand(entry, number, self._fetcher, fetch_all=not self.open().fetches)

    def _place(self, device: str | None, use_hpip: bool | None) -> Placement:
        if self._url is None:
            return place(device, self.use_hpip)
        if device is not None:
            parse_device(device)
        if device is not None or use_hpip is not None:
            warnings.warn(
                f"device and use_hpip have no effect: the server at {self._url} has its own",
                SodWarning,
                stacklevel=5,
            )
        return Placement()

    def _connect(self, url: str) -> None:
        transport: HttpTransport | GrpcTransport
        if url.startswith(_GRPC):
            transport = GrpcTransport(url, timeout=self._timeout, retries=self._retries, at_once=self._at_once)
        else:
            transport = HttpTransport(
                url, timeout=self._timeout, retries=self._retries, connections=self._at_once, api_key=self._api_key
            )
        self._url, self._transport = transport.url, transport
        self._resources.insert(0, transport)


class Call:
    """One call of `predict`.

    Args:
        core: of the pipeline, which lives as long as this does.
        given: the input.
        question: what is asked of every image.
        window: the images under way.
    """

    def __init__(self, core: Core, given: Any, question: Question, window: Window) -> None:
        self._core = core
        self._question = question
        self._window = window
        self._given = given
        self._items: Iterator[Item] | None = None
        self._entries: AsyncIterator[Any] | None = None
        self._entry = -1

    def results(self) -> Iterator[Result]:
        """The results, in order."""
        self._core.errors.clear()
        window = self._window
        try:
            while True:
                while window.wants_more:
                    self._advance()
                if window.next is None:
                    return
                if (result := window.take()) is not None:
                    yield result
                del result
        finally:
            window.cancel()

    async def aresults(self) -> AsyncIterator[Result]:
        """The results, in order; what waits does so in threads."""
        self._core.errors.clear()
        window = self._window
        try:
            while True:
                while window.wants_more:
                    await self._aadvance()
                if (future := window.next) is None:
                    return
                with suppress(Exception):  # `take` raises it
                    await asyncio.wrap_future(future)
                if (result := window.take()) is not None:
                    yield result
                del result, future
        finally:
            window.cancel()

    def _advance(self) -> None:
        """Take one image of the source, or learn that there is none."""
        try:
            if self._items is None:
                self._items = self._core.items_of(self._given)
            self._send(next(self._items, None))
        except Exception as error:
            self._fail(error)

    async def _aadvance(self) -> None:
        if not isinstance(self._given, AsyncIterable):
            await asyncio.to_thread(self._advance)
            return
        try:
            if self._entries is None:
                await asyncio.to_thread(self._core.open)
                self._entries, self._items = aiter(self._given), iter(())
            while self._items is not None:
                if (item := await asyncio.to_thread(next, self._items, None)) is not None:
                    self._send(item)
                    return
                self._entry += 1
                try:
                    entry = await anext(self._entries)
                except StopAsyncIteration:
                    self._send(None)
                    return
                self._items = self._core.items_of_entry(entry, self._entry)
        except Exception as error:
            self._fail(error)

    def _send(self, item: Item | None) -> None:
        if item is None:
            self._window.end()
        else:
            self._window.add(self._core.submit(item, self._question), item.name, item.page_index)

    def _fail(self, error: Exception) -> None:
        """The source is broken: what it gave is still answered, then this is raised."""
        future: Future[Result] = Future()
        future.set_exception(error)
        self._window.add_fatal(future)


def _close(resources: list[_Closable]) -> None:
    for resource in resources:
        with suppress(Exception):
            resource.close()
    resources.clear()


def _header_value(what: str, value: str | None) -> str | None:
    if value is not None and not (value.isascii() and value.isprintable()):
        raise InvalidConfigError(f"{what} has characters that a header cannot hold")
    return value


def _positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InvalidConfigError(f"{name} is {value!r}, not a positive number of seconds")
    return float(value)


def _count(name: str, value: int, least: int) -> int:
    if type(value) is not int or value < least:
        raise InvalidConfigError(f"{name} is {value!r}, not a whole number from {least}")
    return value

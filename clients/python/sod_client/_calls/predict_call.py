"""One call of `predict`: reads the input, keeps requests in flight, and returns the results in order."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sod_client._calls.in_flight import InFlight, OnError
from sod_client._calls.session import Session, check_count
from sod_client._filters import Classes, Filters
from sod_client._inputs.items import Item
from sod_client._inputs.scenes import SceneOptions, check_bands
from sod_client._inputs.sources import KINDS, ImageInput, is_single, items_of, items_of_all
from sod_client._inputs.stretch import check_stretch
from sod_client._slices import SliceOptions
from sod_client._thresholds import Threshold
from sod_client._transport.transport import RequestOptions
from sod_client.errors import ConnectionFailedError, InvalidConfigError, InvalidInputError, SodError
from sod_client.result import Result, SavedNames

_LOG = logging.getLogger("sod_client")


class PredictCall:
    """One call of `predict`. Nothing is read or sent before the first result is requested.

    Args:
        session: of the pipeline; it lives as long as the call does.
        inputs: an image, or an iterable of images.
        threshold: as of `Pipeline.predict`, as are the following.
        batch_size: checked, without effect.
        on_error: what happens if an image fails.
        visualize: whether the server draws the objects.
        model: name of a served model.
        stretch: how samples of more than 8 bits are scaled.
        slices: how images are sliced.
        classes: wanted classes, by id or label, as of `Pipeline.predict`.
        iou: IoU threshold of the NMS.
        agnostic_nms: whether the NMS compares objects of different classes.
        bands: the bands of a scene.
        journal: the folder of the journals of scenes.
        resume: whether to go on with a journal.
        on_slice: called after each slice of a scene.

    Raises:
        InvalidInputError: an argument is invalid.
    """

    def __init__(  # noqa: PLR0913 - the user's arguments, by name
        self,
        session: Session,
        inputs: ImageInput | Iterable[ImageInput] | AsyncIterable[ImageInput],
        threshold: Threshold | None,
        *,
        batch_size: int | None,
        on_error: OnError,
        visualize: bool | None,
        model: str | None,
        stretch: bool | str = False,
        slices: SliceOptions = SliceOptions(),  # noqa: B008 - it is immutable
        classes: Classes | None = None,
        iou: float | None = None,
        agnostic_nms: bool = False,
        bands: Sequence[int] | None = None,
        journal: str | os.PathLike[str] | None = None,
        resume: bool = False,
        on_slice: Callable[[int, int], object] | None = None,
    ) -> None:
        if batch_size is not None:
            check_count("batch_size", batch_size, 1)
        if not (callable(on_error) or on_error in ("raise", "skip")):
            raise InvalidConfigError(f"on_error must be 'raise', 'skip' or a function, not {on_error!r}")
        is_iterable = isinstance(inputs, Iterable | AsyncIterable) and not isinstance(inputs, Mapping)
        if not (is_single(inputs) or is_iterable):
            raise InvalidInputError(f"an image is {KINDS}, not {type(inputs).__name__}")

        def skip(error: SodError) -> None:
            session.errors.append(error)
            if callable(on_error):
                on_error(error)
            else:
                _LOG.warning("skipped: %s", error)

        threshold = session.threshold if threshold is None else threshold
        self._filters = Filters.of(threshold, classes, iou, agnostic_nms)
        slices = slices.over(session.slices)
        self._options = RequestOptions(visualize=visualize, model=model, slices=slices.field())
        self._session = session
        self._inputs: Any = inputs
        self._stretch = check_stretch(stretch)
        self._stop = threading.Event()
        self._scenes = None
        if slices.infer:
            folder = None if journal is None else Path(journal)
            self._scenes = SceneOptions(
                slices, check_bands(bands), self._stretch, folder, resume, on_slice, stop=self._stop
            )
        elif bands is not None or resume:
            raise InvalidConfigError(f"{'resume' if resume else 'bands'} has an effect only with slice_infer=True")
        if resume and journal is None:
            raise InvalidConfigError("resume needs journal, the folder with the journal of the interrupted call")
        self._saved_names: SavedNames = {}
        self._in_flight = InFlight(2 * session.max_in_flight, None if on_error == "raise" else skip)
        self._items: Iterator[Item] | None = None
        self._async_inputs: AsyncIterator[Any] | None = None
        self._async_index = -1

    def results(self) -> Iterator[Result]:
        """The results, in the input's order."""
        self._session.errors.clear()
        in_flight, process = self._in_flight, os.getpid()
        try:
            while True:
                if os.getpid() != process:
                    raise ConnectionFailedError(
                        "this call of predict began in the process from which this one was forked: call predict again"
                    )
                while in_flight.wants_more:
                    self._send_next()
                if in_flight.next is None:
                    return
                if (result := in_flight.take()) is not None:
                    yield result
                del result
        finally:
            self._stop.set()
            in_flight.cancel()

    async def async_results(self) -> AsyncIterator[Result]:
        """The results, in the input's order. Whatever blocks runs in a thread."""
        self._session.errors.clear()
        in_flight = self._in_flight
        try:
            while True:
                while in_flight.wants_more:
                    await self._async_send_next()
                if (future := in_flight.next) is None:
                    return
                with suppress(Exception):  # `take` raises it again
                    await asyncio.wrap_future(future)
                if (result := in_flight.take()) is not None:
                    yield result
                del result, future
        finally:
            self._stop.set()
            in_flight.cancel()

    def _send_next(self) -> None:
        """Read one image and send it, or note that there are no more."""
        try:
            if self._items is None:
                self._connect()
                fetch_all = not self._session.open().fetches_urls
                self._items = items_of_all(
                    self._inputs, self._session.fetcher, fetch_all=fetch_all, stretch=self._stretch, scenes=self._scenes
                )
            self._send(next(self._items, None))
        except Exception as error:
            self._fail(error)

    async def _async_send_next(self) -> None:
        if not isinstance(self._inputs, AsyncIterable):
            await asyncio.to_thread(self._send_next)
            return
        try:
            if self._async_inputs is None:
                await asyncio.to_thread(self._connect)
                self._async_inputs, self._items = aiter(self._inputs), iter(())
            while self._items is not None:
                if (item := await asyncio.to_thread(next, self._items, None)) is not None:
                    self._send(item)
                    return
                self._async_index += 1
                try:
                    element = await anext(self._async_inputs)
                except StopAsyncIteration:
                    self._send(None)
                    return
                fetch_all = not self._session.open().fetches_urls
                self._items = items_of(
                    element,
                    self._async_index,
                    self._session.fetcher,
                    fetch_all=fetch_all,
                    stretch=self._stretch,
                    scenes=self._scenes,
                )
        except Exception as error:
            self._fail(error)

    def _connect(self) -> None:
        """Open the connection, and look up the ids of classes that are given by label."""
        self._session.open()
        filters = self._filters

        def labels() -> tuple[str, ...]:
            return self._session.labels(self._options.model)

        self._options = replace(
            self._options,
            threshold=filters.threshold_by_id(labels),
            classes=filters.class_ids(labels),
            iou=filters.iou,
            agnostic_nms=filters.agnostic_nms,
        )

    def _send(self, item: Item | None) -> None:
        if item is None:
            self._in_flight.end()
        else:
            self._in_flight.add(
                self._session.submit(item, self._options, self._saved_names), item.name, item.page_index
            )

    def _fail(self, error: Exception) -> None:
        """The input raised an error: it is raised after the results of the images before it."""
        future: Future[Result] = Future()
        future.set_exception(error)
        self._in_flight.add_source_failure(future)

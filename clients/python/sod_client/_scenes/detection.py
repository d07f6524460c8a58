"""Detects one scene: reads its windows, has them detected several at a time, and merges the objects row by row.

In memory are the windows that are with the server, the objects near the row that is being read, and 24 bytes for each
object above it.
"""

import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sod_client._inputs.items import ArrayItem, Item
from sod_client._inputs.rasters.raster import Raster
from sod_client._inputs.scenes import OVERVIEW_SIDE, SceneItem
from sod_client._results.data import Box, Model
from sod_client._scenes.front import MergingFront
from sod_client._scenes.grid import Grid
from sod_client._scenes.journal import Entry, Journal, fingerprint
from sod_client._scenes.result import SceneResult
from sod_client._shared.detections import Detections
from sod_client._shared.slicing import Slice, is_large
from sod_client._slices import OVERLAP, SliceOptions, pair
from sod_client._transport.sliced import merge_options
from sod_client._transport.transport import RequestOptions, Transport
from sod_client.errors import BadReplyError, ConnectionFailedError, InvalidConfigError, ServerError

_MAX_SLICES = 10_000_000
# The whole scene is detected too, for objects larger than a window: in all its pixels up to the first number, as the
# server does it, otherwise reduced to the second one on the longest side.
_WHOLE_PIXELS, _WHOLE_SIDE = 2**23, 2048
_Array = NDArray[np.uint8]
_Mask = NDArray[np.bool_]
Submit = Callable[[Item, RequestOptions], "Future[list[Box]]"]
"""Sends an image in another thread; the future gives its objects."""


@dataclass(frozen=True)
class _Part:
    """A slice that is with the server, or was detected before.

    Attributes:
        window: its place in the scene.
        scale: pixels of the scene for one of its pixels, (horizontal, vertical).
        valid: which of its pixels have data; None if all have.
        found: its objects; None if no pixel has data.
    """

    window: Slice
    scale: tuple[float, float] = (1.0, 1.0)
    valid: _Mask | None = None
    found: "Future[list[Box]] | None" = None


def detect_scene(
    item: SceneItem, transport: Transport, request: RequestOptions, submit: Submit, max_in_flight: int
) -> SceneResult:
    """Detect a scene.

    Args:
        item: the scene.
        transport: knows the models.
        request: options of the call; slices are sent without `slices` and `visualize`.
        submit: sends an image in another thread.
        max_in_flight: the most slices that are with the server at once.

    Raises:
        SodError: a window cannot be read, or a slice failed: there is never a hole in a result.
    """
    options = item.options
    if item.options.stop.is_set():
        raise ConnectionFailedError("the call of predict was ended")
    with item.open() as raster:
        model = _model(transport, request.model)
        grid = _grid(raster.size, options.slices, model)
        run = _Run(item, raster, grid, replace(request, slices=None, visualize=False), submit, max_in_flight)
        journal = None
        if options.journal is not None:
            key = {
                "file": fingerprint(item.path),
                "model": None if model is None else [model.name, list(model.labels), model.input_size],
                "request": [request.model, _plain(request)],
                "slices": [grid.window, grid.overlap, str(options.slices)],
                "samples": [options.bands, options.stretch],
            }
            name = f"{item.path.absolute()}{'' if item.directory is None else f'_{item.directory}'}"
            journal = Journal(options.journal, name, key, resume=options.resume)
        try:
            boxes = run.detect(journal)
        finally:
            if journal is not None:
                journal.close()
        return SceneResult(
            item,
            boxes,
            size=raster.size,
            georeference=raster.georeference,
            overview=run.overview,
            journal=None if journal is None else journal.path,
        )


class _Run:
    """The detection of one scene."""

    def __init__(  # noqa: PLR0913, PLR0917 - its parts
        self, item: SceneItem, raster: Raster, grid: Grid, request: RequestOptions, submit: Submit, max_in_flight: int
    ) -> None:
        self._item, self._raster, self._grid = item, raster, grid
        self._request, self._submit, self._max_pending = request, submit, 2 * max_in_flight
        slices = item.options.slices
        self._front = MergingFront(merge_options(slices.field(), agnostic_nms=request.agnostic_nms))
        self._labels: dict[int, str] = {}
        self._pending: deque[_Part] = deque()
        self._done, self._total = 0, len(grid) + (len(grid) > 1)
        self._journal: Journal | None = None
        self.overview: bytes | None = None

    def detect(self, journal: Journal | None) -> list[Box]:
        """Detect all slices and merge their objects."""
        self._journal = journal
        self._report()
        before: Iterator[Entry] = iter(()) if journal is None else journal.entries()
        self._whole(before)
        rows = self._grid.rows()
        row = next(rows, None)
        while row is not None:
            following = next(rows, None)
            for window in row:
                self._check_stop()
                self._window(window, next(before, None))
            if following is None:
                break
            self._collect(0)
            self._front.advance(following[0].y)
            row = following
        self._collect(0)
        merged = self._front.finish()
        return [
            Box(cls_id=class_id, label=self._labels[class_id], score=score, coordinate=box)
            for box, class_id, score in zip(
                merged.boxes.tolist(), merged.class_ids.tolist(), merged.scores.tolist(), strict=True
            )
        ]

    def _whole(self, before: Iterator[Entry]) -> None:
        """The whole scene, if it has several windows."""
        if len(self._grid) < 2:
            return
        width, height = self._grid.size
        whole = Slice(0, 0, width, height)
        if (entry := next(before, None)) is not None:
            self._add(entry, whole)
            return
        if width * height <= _WHOLE_PIXELS:
            pixels, valid = self._raster.read(0, 0, width, height)
        else:
            pixels, valid = self._raster.read_reduced(OVERVIEW_SIDE)
            self.overview = _to_jpeg(pixels)
            image = Image.fromarray(pixels)
            image.thumbnail((_WHOLE_SIDE, _WHOLE_SIDE), Image.Resampling.BOX)
            if valid is not None:
                valid = np.asarray(Image.fromarray(valid).resize(image.size, Image.Resampling.NEAREST))
            pixels = np.asarray(image)
        self._send(whole, pixels, valid)
        self._collect(0)

    def _window(self, window: Slice, entry: Entry | None) -> None:
        if entry is not None:
            self._add(entry, window)
            return
        pixels, valid = self._raster.read(window.x, window.y, window.width, window.height)
        self._send(window, pixels, valid)
        self._collect(self._max_pending - 1)

    def _send(self, window: Slice, pixels: _Array, valid: _Mask | None) -> None:
        if valid is not None and not valid.any():
            self._pending.append(_Part(window))
            return
        height, width = pixels.shape[:2]
        scale = (window.width / width, window.height / height)
        image = ArrayItem(bgr=pixels[..., ::-1].tobytes(), width=width, height=height)
        found = self._submit(image, self._request)
        self._pending.append(_Part(window, scale, valid, found))

    def _collect(self, most_pending: int) -> None:
        """Wait for the first slices until at most so many are left."""
        while len(self._pending) > most_pending:
            self._check_stop()
            part = self._pending.popleft()
            entry: Entry = []
            if part.found is not None:
                try:
                    boxes = part.found.result()
                except ServerError as error:
                    window = part.window
                    error.hint = f" (the slice at ({window.x}, {window.y}) of {window.width} x {window.height} pixels)"
                    raise
                entry = [
                    [box["cls_id"], box["label"], box["score"], *_scaled(box["coordinate"], part.scale)]
                    for box in boxes
                    if part.valid is None or _has_data(part.valid, box["coordinate"])
                ]
            if self._journal is not None:
                self._journal.append(entry)
            self._add(entry, part.window)

    def _add(self, entry: Entry, window: Slice) -> None:
        """Add the objects of a slice, in its pixels, to the front."""
        try:
            self._labels.update((int(row[0]), str(row[1])) for row in entry)
            table = np.array([[row[0], *row[2:7]] for row in entry], np.float64).reshape(-1, 6)
        except (ValueError, TypeError, IndexError) as error:
            raise InvalidConfigError("--resume: the journal is damaged: start anew without --resume") from error
        boxes = (table[:, 2:] + np.array([window.x, window.y, window.x, window.y])).astype(np.float32)
        found = Detections(boxes, table[:, 1].astype(np.float32), table[:, 0].astype(np.int32))
        self._front.add(found, window.cut_sides(boxes, self._grid.size))
        self._done += 1
        self._report()

    def _report(self) -> None:
        if self._item.options.on_slice is not None:
            self._item.options.on_slice(self._done, self._total)

    def _check_stop(self) -> None:
        if self._item.options.stop.is_set():
            for part in self._pending:
                if part.found is not None:
                    part.found.cancel()
            raise ConnectionFailedError("the call of predict was ended")


def _grid(size: tuple[int, int], slices: SliceOptions, model: Model | None) -> Grid:
    slices.field()  # checks the options
    input_size = None if model is None or model.input_size is None else model.input_size[::-1]
    if (given := pair("slice_size", slices.size)) is not None:
        window = (int(given[0]), int(given[1]))
    elif input_size is not None:
        window = input_size
    else:
        raise InvalidConfigError("the server does not say the size of its model's input: pass slice_size")
    if slices.infer == "auto" and not is_large(size, window):
        window = size
    horizontal, vertical = pair("overlap_ratio", slices.overlap) or OVERLAP
    grid = Grid(size, window, (horizontal, vertical))
    if (count := len(grid)) > _MAX_SLICES:
        raise InvalidConfigError(
            f"the image of {size[0]:,} x {size[1]:,} pixels makes {count:,} slices, and the limit is {_MAX_SLICES:,}: "
            "pass a larger slice_size"
        )
    return grid


def _model(transport: Transport, name: str | None) -> Model | None:
    """The model that answers; None if the server does not describe its models, as PaddleX's own server."""
    try:
        models = transport.models()
    except (ServerError, BadReplyError):
        return None
    return next((model for model in models if model.name == name or (name is None and model.default)), None)


def _plain(request: RequestOptions) -> str:
    return repr(replace(request, slices=None, visualize=False))


def _scaled(coordinate: list[float], scale: tuple[float, float]) -> Iterator[float]:
    return (value * factor for value, factor in zip(coordinate, chain(scale, scale), strict=True))


def _has_data(valid: _Mask, coordinate: list[float]) -> bool:
    """Whether a pixel of the box has data."""
    x1, y1, x2, y2 = coordinate
    rows = slice(max(0, int(y1)), max(0, int(np.ceil(y2))))
    columns = slice(max(0, int(x1)), max(0, int(np.ceil(x2))))
    return bool(valid[rows, columns].any())


def _to_jpeg(pixels: _Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()

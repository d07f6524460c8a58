"""Sliced inference: a large image is detected in overlapping slices at their own resolution, and the objects merged."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway.errors import FieldError, OverloadedError, TooManyBytesError
from gateway.inference.model_catalogue import ModelInfo
from gateway.inference.postprocess import PostprocessOptions
from gateway.inference.tensors import ResizedImage
from gateway.inference.triton_client import TritonDetector
from gateway.limits.concurrency_limiter import ConcurrencyLimiter
from gateway.limits.load_shedder import current_deadline
from gateway.limits.memory_budget import MemoryBudget
from gateway.limits.moving_windows import charge_requests
from gateway.limits.workers import Workers
from gateway.observability import metrics
from gateway.observability.request_context import stage
from sod.detections import Detections
from sod.merging import MergeOptions, merge_slices
from sod.slicing import Slice, count_slices, is_large, slice_grid

Pixels = NDArray[np.uint8]

# Weight of the latest slice in the exponentially weighted mean of their times, and how long that mean counts: after it
# the load may be another, and a mean that refused every image would never be updated.
_WEIGHT = 0.1
_RECENT_S = 60.0
_CHANNELS = 3
_MAX_RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class SliceOptions:
    """How an image is sliced. Names and defaults follow PaddleDetection's `--slice_infer`.

    Attributes:
        size: (width, height) of a slice in pixels; None is the size of the detector's input.
        overlap: Share of a slice that its neighbour covers too, (horizontal, vertical).
        full_image: Whether the whole image is detected too, for objects larger than a slice.
        only_if_larger: Whether an image of up to 1.5 times the detector's input is left whole.
        merging: How the objects of the slices are merged.
    """

    size: tuple[int, int] | None = None
    overlap: tuple[float, float] = (0.25, 0.25)
    full_image: bool = True
    only_if_larger: bool = False
    merging: MergeOptions = field(default_factory=MergeOptions)


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """What to detect in one image.

    Attributes:
        slices: Rectangles of the image; the whole image may be the last.
        input_size: (height, width) of the detector's input, to which each is resized.
        merging: How the objects are merged.
        image_size: (width, height) of the image in pixels.
    """

    slices: tuple[Slice, ...]
    input_size: tuple[int, int]
    merging: MergeOptions
    image_size: tuple[int, int]

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded image, which is held until all slices are done."""
        return self.image_size[0] * self.image_size[1] * _CHANNELS


class SlicedInference:
    """Detects the slices of an image through the ordinary detector, where Triton batches them."""

    def __init__(  # noqa: PLR0913 - parts and limits, by name
        self,
        triton: TritonDetector,
        workers: Workers,
        limiter: ConcurrencyLimiter,
        *,
        memory: MemoryBudget,
        concurrency: int,
        max_slices: int,
        time_limit_s: float,
    ) -> None:
        """Set up.

        Args:
            triton: Takes the slices' pixels.
            workers: Threads that resize them.
            limiter: Each slice takes a slot, so that slices and images of other requests take turns.
            memory: For the decoded images.
            concurrency: Slices of one image that are in work at a time.
            max_slices: Largest number of slices of an image.
            time_limit_s: Seconds for a request; an image that cannot be detected in it is refused at once.
        """
        self._triton = triton
        self._workers = workers
        self._limiter = limiter
        self._memory = memory
        self._concurrency = concurrency
        self._max_slices = max_slices
        self._time_limit_s = time_limit_s
        self._mean_s: float | None = None  # of a slice, waiting for its slot included
        self._measured_at = 0.0

    def plan(self, options: SliceOptions, image_size: tuple[int, int], model: ModelInfo) -> SlicePlan | None:
        """How to slice an image; None if it is to be detected whole, because one slice would hold it.

        Args:
            options: The client's.
            image_size: (width, height) in pixels.
            model: The detector.

        Raises:
            FieldError: The model does not take pixels, or there are more slices than can be done.
            TooManyBytesError: The decoded image exceeds the memory for sliced images.
        """
        if options.only_if_larger and model.input_size and not is_large(image_size, model.input_size[::-1]):
            return None
        if not model.pixel_entrance or model.input_size is None:
            raise FieldError(
                "slice", "slice_unsupported", f"{model.name} cannot be asked in slices: export it again to enable that"
            )
        height, width = model.input_size
        size = options.size or (width, height)
        count = count_slices(image_size, size, options.overlap)
        if count == 1:
            return None
        self._check_count(count, image_size)
        slices = slice_grid(image_size, size, options.overlap)
        if options.full_image:
            slices.append(Slice(0, 0, *image_size))
        plan = SlicePlan(tuple(slices), model.input_size, options.merging, image_size)
        seconds = self._estimate_s(len(slices))
        if seconds > self._time_limit_s:
            what = f"{_what(len(slices), image_size)}, which take about {seconds:.0f} s"
            message = f"{what}; the limit is {self._time_limit_s:g} s: {_REMEDY}"
            raise FieldError("slice", "too_many_slices", message)
        if plan.decoded_bytes > self._memory.max_bytes:
            metrics.record_rejection("too_large")
            raise TooManyBytesError(
                f"The image of {image_size[0]} x {image_size[1]} pixels needs {plan.decoded_bytes:,} bytes while it is "
                f"sliced; the limit is {self._memory.max_bytes:,}: send a smaller image, or parts of it"
            )
        return plan

    @asynccontextmanager
    async def admit(self, plan: SlicePlan) -> AsyncIterator[None]:
        """Wait for the memory of the decoded image and hold it inside the context; charge the slices to the client.

        Raises:
            OverloadedError: The wait has left too little of the request's time for the slices.
        """
        with stage("queue"):
            await self._memory.acquire(plan.decoded_bytes)
        try:
            self._check_time_left(plan)
            await charge_requests(len(plan.slices) - 1)  # the request itself is counted as one
            yield
        finally:
            self._memory.release(plan.decoded_bytes)

    async def detect(
        self, pixels: Pixels, plan: SlicePlan, options: PostprocessOptions, model: ModelInfo
    ) -> Detections:
        """Detect the objects of all slices and merge them. If one slice fails, so does the image.

        Args:
            pixels: uint8 [H, W, 3], BGR, the decoded image; it is only read.
            plan: From `plan`.
            options: Applied to each slice.
            model: The detector.

        Returns:
            Boxes in pixels of the image.
        """
        found: dict[int, Detections] = {}
        pending = iter(enumerate(plan.slices))
        loop = asyncio.get_running_loop()

        async def work() -> None:
            for index, one in pending:
                started = loop.time()
                async with self._limiter.slot(sliced=True):
                    resized = await self._workers.run(ResizedImage.of, one.view(pixels), plan.input_size)
                    with stage("infer"):
                        found[index] = await self._triton.infer(resized, options, model)
                self._update_mean(loop.time() - started)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(plan.slices))):
                    group.create_task(work())
        except BaseExceptionGroup as failures:  # the others are cancelled; the client gets the first reason
            raise failures.exceptions[0] from None
        in_order = [found[index] for index in range(len(plan.slices))]
        with stage("merge"):
            return await self._workers.run(merge_slices, in_order, plan.slices, plan.image_size, plan.merging)

    def _check_count(self, count: int, image_size: tuple[int, int]) -> None:
        if count > self._max_slices:
            message = f"{_what(count, image_size)}; the limit is {self._max_slices:,}: {_REMEDY}"
            raise FieldError("slice", "too_many_slices", message)

    def _check_time_left(self, plan: SlicePlan) -> None:
        deadline = current_deadline()
        if deadline is None:
            return
        left = deadline - asyncio.get_running_loop().time()
        seconds = self._estimate_s(len(plan.slices))
        if seconds > left:
            metrics.record_rejection("deadline")
            raise OverloadedError(
                f"{_what(len(plan.slices), plan.image_size)}, which take about {seconds:.0f} s; after the wait for "
                f"other large images {max(0, left):.0f} s are left: try again, with fewer images at a time",
                max(1, min(_MAX_RETRY_AFTER_S, math.ceil(seconds))),
            )

    def _estimate_s(self, count: int) -> float:
        """Seconds that so many slices of one image take, by recent slices or else recent images; 0 without any."""
        at_once = min(self._concurrency, self._limiter.slots)
        recent = asyncio.get_running_loop().time() - self._measured_at < _RECENT_S
        mean = self._mean_s if recent else None
        if mean is None:
            mean = self._limiter.recent_duration_s()
        return count * (mean or 0.0) / at_once

    def _update_mean(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        mean = self._mean_s if loop.time() - self._measured_at < _RECENT_S else None
        self._mean_s = seconds if mean is None else mean + _WEIGHT * (seconds - mean)
        self._measured_at = loop.time()


_REMEDY = "send a larger `size` or a smaller `overlap`"


def _what(count: int, image_size: tuple[int, int]) -> str:
    return f"the image of {image_size[0]} x {image_size[1]} pixels makes {count:,} slices"

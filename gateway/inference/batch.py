"""Detection in many images of one request, with limits on concurrency and memory."""

import asyncio
from collections.abc import Sequence

from gateway.errors import TooManyBytesError
from gateway.inference.detector import DetectionRequest, DetectionResult, Detector


class BatchRunner:
    """Runs the images of a batch concurrently; an image that fails does not fail the others.

    Images that are sliced are processed one after the other, so that a batch of them has no more slices in work, and no
    more decoded pixels in memory, than one such image.
    """

    def __init__(self, detector: Detector, *, concurrency: int, max_overlay_bytes: int) -> None:
        """Set up.

        Args:
            detector: Processes each image.
            concurrency: How many images of one batch are processed at a time, fetching and decoding included.
            max_overlay_bytes: Limit on the bytes of all overlays of one batch.
        """
        self._detector = detector
        self._concurrency = concurrency
        self._max_overlay_bytes = max_overlay_bytes

    async def detect(self, requests: Sequence[DetectionRequest | Exception]) -> list[DetectionResult | Exception]:
        """The result or the error of each request, in their order; an error among the requests is passed on."""
        results: dict[int, DetectionResult | Exception] = {}
        pending = iter(enumerate(requests))
        overlay_bytes = 0
        turn = asyncio.Lock()

        async def work() -> None:
            nonlocal overlay_bytes
            for index, request in pending:
                result = await self._detect(request, turn)
                size = len(result.overlay or b"") if isinstance(result, DetectionResult) else 0
                if size and overlay_bytes + size > self._max_overlay_bytes:
                    result = TooManyBytesError(
                        f"The drawn images of the batch have more than {self._max_overlay_bytes:,} bytes: "
                        "send fewer images, or ask with `visualize` false"
                    )
                else:
                    overlay_bytes += size
                results[index] = result

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(requests))):
                group.create_task(work())
        return [results[index] for index in range(len(requests))]

    async def _detect(self, request: DetectionRequest | Exception, turn: asyncio.Lock) -> DetectionResult | Exception:
        if isinstance(request, Exception):
            return request
        try:
            return await self._detector.detect(request, turn)
        except Exception as error:  # only this image fails
            return error

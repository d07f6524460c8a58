"""Many images in one request: bounded in what is under way at once, and in what is kept."""

import asyncio
from collections.abc import Sequence

from gateway.errors import TooManyBytesError
from gateway.inference.detector import DetectionRequest, DetectionResult, Detector


class Batches:
    """Runs batches."""

    def __init__(self, detector: Detector, *, concurrency: int, max_overlay_bytes: int) -> None:
        """Set up.

        Args:
            detector: What each image is given to.
            concurrency: Images of one batch under way at once; the next one starts when one is done, so that no
                more of them are fetched and decoded at a time.
            max_overlay_bytes: Bytes of the drawn images of one batch that are kept for its answer.
        """
        self._detector = detector
        self._concurrency = concurrency
        self._max_overlay_bytes = max_overlay_bytes

    async def detect(self, questions: Sequence[DetectionRequest | Exception]) -> list[DetectionResult | Exception]:
        """What came of each question, in their order; one that is an error already stays it."""
        outcomes: list[DetectionResult | Exception] = [ValueError("not asked")] * len(questions)
        waiting = iter(enumerate(questions))
        kept = 0

        async def work() -> None:
            nonlocal kept
            for index, question in waiting:
                outcome = await self._detect(question)
                size = len(outcome.overlay or b"") if isinstance(outcome, DetectionResult) else 0
                if size and kept + size > self._max_overlay_bytes:
                    outcome = TooManyBytesError(
                        f"The drawn images of the batch have more than {self._max_overlay_bytes:,} bytes: "
                        "send fewer images, or ask with `visualize` false"
                    )
                else:
                    kept += size
                outcomes[index] = outcome

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(questions))):
                group.create_task(work())
        return outcomes

    async def _detect(self, question: DetectionRequest | Exception) -> DetectionResult | Exception:
        if isinstance(question, Exception):
            return question
        try:
            return await self._detector.detect(question)
        except Exception as error:  # one image fails alone
            return error

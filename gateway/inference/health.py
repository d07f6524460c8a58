"""Readiness by evidence: an image goes through the whole ensemble.

Triton stays ready when the process of a Python stage has died (triton-inference-server/server#8604), so asking it is
not enough. The image waits in Triton behind those of the clients, so a busy Triton is given more time for it.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

import numpy as np

from gateway.drain import DRAINING, Drain
from gateway.errors import DetectorUnavailableError, GatewayError, GatewayTimeoutError
from gateway.inference.single_flight import SingleFlight
from gateway.inference.triton_client import TritonDetector
from gateway.observability import metrics
from sod.encode import encode_image

_log = logging.getLogger(__name__)
_SIDE = 32
_OVERDUE = 2  # times what the last inference took: while Triton is at work the next one ends before


class Readiness:
    """Tells whether an image would be answered now."""

    def __init__(  # noqa: PLR0913 - parts and times, the latter by name
        self,
        triton: TritonDetector,
        drain: Drain,
        *,
        ttl: float,
        timeout: float,
        request_timeout: float,
        in_work: Callable[[], int],
        starved: Callable[[], bool] = lambda: False,
    ) -> None:
        """Set up.

        Args:
            triton: The detector to try.
            drain: While it is active, nothing is ready.
            ttl: Seconds that one try, or a real inference, speaks for later calls.
            timeout: Seconds one try may take in a Triton that is idle.
            request_timeout: Seconds after which nothing of what Triton has now is left in it.
            in_work: Tells how many images Triton has.
            starved: Tells whether the gateway has no thread left to process images with.
        """
        self._triton = triton
        self._drain = drain
        self._ttl = ttl
        self._timeout = timeout
        self._request_timeout = request_timeout
        self._in_work = in_work
        self._starved = starved
        self._canary = encode_image(np.full((_SIDE, _SIDE, 3), 128, np.uint8))
        self._shared_try = SingleFlight(self._try)
        self._verdict: str | None = "nothing was tried yet"
        self._verdict_at = float("-inf")

    async def problem(self) -> str | None:
        """Why the gateway is not ready; None if it is. At most one try runs at a time.

        While Triton is at work, and the last that is known of it is good, nobody waits for the try.
        """
        if self._drain.active:
            problem: str | None = DRAINING
        elif self._starved():
            problem = "Every thread that processes images is stuck in an earlier image"
        else:
            problem = await self._problem_of_triton()
        metrics.ready.set(problem is None)
        return problem

    async def _problem_of_triton(self) -> str | None:
        age = self._triton.seconds_since_success
        if age is not None and age < self._ttl:
            return None
        if age is not None and self._in_work() and (self._verdict is None or self._succeeded_since(self._verdict_at)):
            # Where an image takes longer than `ttl`, tries without need would take a third of two clients' throughput.
            if age > _OVERDUE * self._triton.seconds_of_success:
                self._shared_try.start()
            return None
        if self._verdict is not None and monotonic() - self._verdict_at < self._ttl:
            return self._verdict
        return await self._shared_try()

    async def close(self) -> None:
        """Stop a try under way."""
        await self._shared_try.close()

    async def _try(self) -> str | None:
        verdict = await self._run_canary()
        if verdict is None and self._verdict is not None:
            _log.info("ready")
        elif verdict != self._verdict:
            _log.warning("not ready: %s", verdict)
        self._verdict, self._verdict_at = verdict, monotonic()
        return verdict

    def _succeeded_since(self, moment: float) -> bool:
        age = self._triton.seconds_since_success
        return age is not None and monotonic() - age > moment

    async def _run_canary(self) -> str | None:
        started = monotonic()
        # The images before ours take as long as ours each, and none stays longer than its request.
        timeout = min(self._timeout * (1 + self._in_work()), self._timeout + self._request_timeout)
        try:
            async with asyncio.timeout(timeout):
                model = await self._triton.model_info()
                await self._triton.infer(self._canary, np.ones(len(model.labels), np.float32), model)
        except (TimeoutError, GatewayTimeoutError):
            return None if self._succeeded_since(started) else f"No inference finished within {timeout:g} s"
        except DetectorUnavailableError as error:
            return str(error)
        except GatewayError as error:  # the model refuses an image that is fine
            return f"The model fails on an image that is fine: {error}"
        return None

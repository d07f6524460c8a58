"""Readiness: the gateway is ready if an inference through the whole ensemble has recently succeeded.

Triton reports itself ready even when the process of a Python stage has died (triton-inference-server/server#8604), so
its own readiness is not enough. A probe image queues in Triton behind those of the clients, so a busy Triton is given
more time.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

import numpy as np

from gateway.drain import DRAINING, Drain
from gateway.errors import DetectorUnavailableError, GatewayError, GatewayTimeoutError
from gateway.inference.postprocess import PostprocessOptions
from gateway.inference.single_flight import SingleFlight
from gateway.inference.triton_client import TritonDetector, probe_image
from gateway.observability import metrics

_log = logging.getLogger(__name__)
# Probe a busy Triton only after this many times the duration of the last inference.
_OVERDUE = 2


class Readiness:
    """Determines whether a request would succeed now."""

    def __init__(  # noqa: PLR0913 - durations, by name
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
            triton: The client of Triton.
            drain: While it is active, the gateway is not ready.
            ttl: Seconds for which the result of a probe, or a successful inference, is valid.
            timeout: Seconds that a probe may take in an idle Triton.
            request_timeout: Deadline of the clients' requests in seconds, after which Triton has finished them.
            in_work: Returns the number of images in Triton.
            starved: Returns whether every worker thread is stuck, so that no image can be processed.
        """
        self._triton = triton
        self._drain = drain
        self._ttl = ttl
        self._timeout = timeout
        self._request_timeout = request_timeout
        self._in_work = in_work
        self._starved = starved
        self._shared_probe = SingleFlight(self._probe)
        self._probe_problem: str | None = "no inference has been run yet"
        self._probed_at = float("-inf")

    async def problem(self) -> str | None:
        """Why the gateway is not ready; None if it is. At most one probe runs at a time.

        While Triton is busy and its last result was a success, callers do not wait for the probe.
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
        if (
            age is not None
            and self._in_work()
            and (self._probe_problem is None or self._succeeded_since(self._probed_at))
        ):
            # If an image takes longer than `ttl`, needless probes would cost two clients a third of their throughput.
            if age > _OVERDUE * self._triton.seconds_of_success:
                self._shared_probe.start()
            return None
        if self._probe_problem is not None and monotonic() - self._probed_at < self._ttl:
            return self._probe_problem
        return await self._shared_probe()

    async def close(self) -> None:
        """Cancel a running probe."""
        await self._shared_probe.close()

    async def _probe(self) -> str | None:
        problem = await self._run_probe()
        if problem is None and self._probe_problem is not None:
            _log.info("ready")
        elif problem != self._probe_problem:
            _log.warning("not ready: %s", problem)
        self._probe_problem, self._probed_at = problem, monotonic()
        return problem

    def _succeeded_since(self, moment: float) -> bool:
        age = self._triton.seconds_since_success
        return age is not None and monotonic() - age > moment

    async def _run_probe(self) -> str | None:
        started = monotonic()
        # Each image before the probe may take as long as the probe, but none longer than its request's deadline.
        timeout = min(self._timeout * (1 + self._in_work()), self._timeout + self._request_timeout)
        try:
            async with asyncio.timeout(timeout):
                model = await self._triton.model_info()
                nothing = PostprocessOptions(np.ones(len(model.labels), np.float32))
                await self._triton.infer(probe_image(), nothing, model)
        except (TimeoutError, GatewayTimeoutError):
            return None if self._succeeded_since(started) else f"No inference finished within {timeout:g} s"
        except DetectorUnavailableError as error:
            return str(error)
        except GatewayError as error:  # the model rejects a valid image
            return f"The model rejects a valid image: {error}"
        return None

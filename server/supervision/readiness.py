"""Readiness of both processes together: whether an image is answered, and if not, because of which process."""

import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from server.ready import is_ready
from server.supervision.periodic import Outcome, Periodic
from server.triton.api import ModelState, TritonApi, TritonApiError

_EVERY_S = 5.0
# The check is an inference: on a slow model it comes less often, so that it takes no more than this share of the time.
_SHARE = 0.05
_STARTING_PAUSE_S = 0.25
_UNREADY_PAUSE_S = 1.0
_DETECT_TIMEOUT_S = 20.0
# What Triton answers for a stage whose process is gone.
_DEAD_STAGE = "is not healthy"
# 32 x 32 grey pixels.
_IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAFklEQVR42mNoIAAYRhWMKhhVMFIVAABCAAAfN5c2AAAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check.

    Attributes:
        ready: whether the gateway answers an image.
        states: Triton's models after a check that passed; None where Triton did not say.
        triton_problem: what an ensemble that is asked directly answers, if not detections; empty if all of them answer.
        stage_is_dead: Triton says that the process of a stage is gone.
    """

    ready: bool
    states: list[ModelState] | None = None
    triton_problem: str = ""
    stage_is_dead: bool = False


def check(url: str, api: TritonApi, ensembles: Callable[[], tuple[str, ...]]) -> Verdict:
    """Ask the gateway at `url` for an inference, and if that fails Triton itself for one of each ensemble.

    Args:
        url: of the gateway on this machine.
        api: of Triton.
        ensembles: names of those that are served.
    """
    if is_ready(url):
        states = None
        with suppress(TritonApiError):
            states = api.models()
        return Verdict(True, states)
    try:
        loaded = {state.name for state in api.models() if state.ready}
    except TritonApiError as error:
        return Verdict(False, None, str(error))
    # A model that was unloaded on purpose answers nothing, and nothing is wrong with Triton.
    names = [name for name in ensembles() if name in loaded]
    if not names:
        return Verdict(False, None, "no model is ready")
    for name in names:
        try:
            api.detect(name, _IMAGE, _DETECT_TIMEOUT_S)
        except TritonApiError as error:
            return Verdict(False, None, f"{name}: {error}", _DEAD_STAGE in str(error))
    return Verdict(False)


class ReadinessWatch:
    """Checks readiness in a thread of its own, often while it is awaited and seldom while all is well.

    Args:
        ask: the check.
        longest_pause_s: seconds between checks that pass quickly.
    """

    def __init__(self, ask: Callable[[], Verdict], longest_pause_s: float = _EVERY_S) -> None:
        self._ask = ask
        self._longest_pause_s = min(_EVERY_S, longest_pause_s)
        self._checks: Periodic[Verdict] | None = None
        self._passed = False
        self._taken: Outcome[Verdict] | None = None

    def begin(self) -> None:
        """Both processes are live; check from now on."""
        self.close()
        self._passed = False
        self._taken = None
        self._checks = Periodic(self._ask, self._pause_s)

    def close(self) -> None:
        """Check no more."""
        if self._checks is not None:
            self._checks.close()
            self._checks = None

    @property
    def is_running(self) -> bool:
        """Whether it checks."""
        return self._checks is not None

    def new_outcome(self) -> Outcome[Verdict] | None:
        """The latest outcome if it was not returned before."""
        latest = self._checks.last if self._checks is not None else None
        if latest is self._taken:
            return None
        self._taken = latest
        return latest

    def _pause_s(self, outcome: Outcome[Verdict]) -> float:
        if outcome.value.ready:
            self._passed = True
            return max(self._longest_pause_s, (outcome.answered_at - outcome.asked_at) / _SHARE)
        return _UNREADY_PAUSE_S if self._passed else _STARTING_PAUSE_S

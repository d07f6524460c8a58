"""The learning rate."""

import math

_WARM = 100  # steps
_LOWEST = 0.02  # of the peak


def rate(step: int, peak: float, steps: int, decay: int) -> float:
    """Up in a straight line over the first 100 steps (a tenth of them if that is less), then constant, then down a
    cosine to a fiftieth over the last `decay` steps before `steps`.
    """  # noqa: D205
    left = (steps - step) / max(decay, 1)
    ending = 1.0 if left >= 1 else _LOWEST + (1 - _LOWEST) * (1 - math.cos(math.pi * max(left, 0))) / 2
    warm = min(_WARM, steps // 10 or 1)
    return peak * min(1, (step + 1) / warm) * ending

"""The learning-rate schedule."""

import math

_WARM_UP = 100  # steps
_LOWEST = 0.02  # of the peak


def learning_rate(step: int, peak: float, steps: int, decay: int) -> float:
    """The learning rate of a step: linear warm-up, constant, then a cosine down to 2 % of the peak.

    Args:
        step: number of the step, from 0.
        peak: the highest rate.
        steps: length of the training. The warm-up takes 100 steps, or a tenth of `steps` if that is less.
        decay: number of steps, counted back from the end, over which the rate falls.
    """
    left = (steps - step) / max(decay, 1)
    ending = 1.0 if left >= 1 else _LOWEST + (1 - _LOWEST) * (1 - math.cos(math.pi * max(left, 0))) / 2
    warm_up = min(_WARM_UP, steps // 10 or 1)
    return peak * min(1, (step + 1) / warm_up) * ending

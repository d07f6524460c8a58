"""The learning-rate schedule."""

import pytest

from finetune.training.schedule import learning_rate


def test_the_rate_rises_stays_and_falls():
    rates = [learning_rate(step, 2.0, 1000, 400) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[:100] == sorted(rates[:100])
    assert set(rates[100:601]) == {2.0}
    assert rates[600:] == sorted(rates[600:], reverse=True)
    assert rates[1000] == pytest.approx(0.04)


def test_a_short_training_warms_up_for_a_tenth():
    assert learning_rate(9, 1.0, 100, 0) == 1.0
    assert learning_rate(4, 1.0, 100, 0) == 0.5

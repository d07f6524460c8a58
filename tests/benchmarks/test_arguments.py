"""Numbers on a benchmark's command line."""

import argparse

import pytest

from benchmarks.arguments import number, whole


def test_numbers_within_the_limits():
    assert whole()("1") == 1
    assert whole(32)("32") == 32
    assert number(0.2, 600)("0.2") == 0.2


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (whole(), "0", "0 is less than 1"),
        (whole(32), "31", "31 is less than 32"),
        (whole(), "1.5", "'1.5' is not a whole number"),
        (number(0.2, 600), "601", "601 is not between 0.2 and 600"),
        (number(20, 1e6), "nan", "nan is not between 20 and 1000000"),
        (number(20, 1e6), "x", "'x' is not a number"),
    ],
)
def test_others_are_one_sentence(kind, text, message):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert str(caught.value) == message

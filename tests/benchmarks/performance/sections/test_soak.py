"""Medians of the two halves of a memory record."""

from benchmarks.performance.sections.soak import halves


def test_halves_leave_the_first_fifth_out():
    assert halves([1.0, 2.0, 10.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0, 20.0]) == (10, 20)

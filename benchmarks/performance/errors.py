"""The error that the benchmarks report to the user."""


class BenchmarkError(Exception):
    """A measurement is impossible; the message is one sentence that says why."""

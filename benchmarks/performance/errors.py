"""What goes wrong in a benchmark, told in a sentence."""


class BenchmarkError(Exception):
    """Something cannot be started, answers wrongly, or does not fit."""

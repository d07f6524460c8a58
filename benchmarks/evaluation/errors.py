"""What goes wrong in an evaluation, told in a sentence."""


class EvaluationError(Exception):
    """The labels, the server or the options do not fit."""

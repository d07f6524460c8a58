"""The error that the evaluation reports to the user."""


class EvaluationError(Exception):
    """The evaluation is impossible; the message is one sentence that says why."""

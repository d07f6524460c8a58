"""Exit codes in words."""

import signal


def exit_reason(code: int) -> str:
    """`exit code 1` or the name of a signal; `code` as in `subprocess`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return f"signal {-code}"

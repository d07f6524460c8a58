"""Times to wait for, in seconds."""

from sod_client.errors import InvalidConfigError

MOST = 1_000_000.0
"""The longest; a socket takes 24 days at most."""
KIND = "a positive number of seconds, at most 1,000,000"


def check_seconds(name: str, value: float) -> float:
    """Check a time to wait.

    Raises:
        InvalidConfigError: it is not one; the text begins with the name of its argument.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST:
        raise InvalidConfigError(f"{name} must be {KIND}, not {value!r}")
    return float(value)

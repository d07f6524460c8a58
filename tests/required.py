"""What a test needs of the machine."""

import os

import pytest


def require(is_here: object, reason: str) -> None:
    """Skip the test where something that it needs is absent, or fail it where CI is set, which installs all of it.

    Args:
        is_here: What it needs; false if that is absent.
        reason: What is absent, and how to install it.
    """
    if is_here:
        return
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)

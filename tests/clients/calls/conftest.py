"""Inputs that several tests of calls share."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def mixed(street: Path) -> list[Any]:
    """Three images, and three elements that are not images."""
    return [str(street), "missing.jpg", b"", str(street), 17, street]

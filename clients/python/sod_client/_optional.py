"""Packages that only some calls need."""

from importlib import import_module
from typing import Any

from sod_client.errors import DependencyError


def need(module: str, what_for: str, install: str) -> Any:
    """Import a module.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(f"{what_for} needs {module.split('.', maxsplit=1)[0]}: pip install {install}") from error

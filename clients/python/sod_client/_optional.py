"""Imports packages that only some functions require."""

from importlib import import_module
from typing import Any

from sod_client.errors import DependencyError


def require(module: str, feature: str, install: str) -> Any:
    """Import a module.

    Args:
        module: name of the module.
        feature: what requires it, for the error message.
        install: the argument of `pip install` that provides it.

    Raises:
        DependencyError: the module is not installed.
    """
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # tritonclient raises a RuntimeError if what it needs is missing
        package = module.split(".", maxsplit=1)[0]
        raise DependencyError(f"{feature} requires {package}: pip install {install}") from error

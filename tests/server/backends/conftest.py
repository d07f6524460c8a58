import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BACKENDS = Path(__file__).parents[3] / "server" / "backends"
# They keep what they import of Triton, which here is a stand-in.
_BOUND = ("sod.triton.requests", "server.backends.batching")


@pytest.fixture
def load_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """The module of a backend by its name, as Triton's stub would load it, without Triton."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
    for name in _BOUND:
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(backend: str) -> Any:
        found = importlib.util.spec_from_file_location(f"{backend}_backend", BACKENDS / backend / "model.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module

    yield load
    for name in _BOUND:
        sys.modules.pop(name, None)

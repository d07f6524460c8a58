"""One check of both processes: which of them is to blame when no image is answered."""

import pytest

from server.supervision.readiness import Verdict, check
from server.triton.api import ModelState, TritonApiError


class Api:
    """Triton's API, with the models that it has loaded and those that fail."""

    def __init__(self, loaded: list[str], failing: list[str]) -> None:
        self.loaded = loaded
        self.failing = failing

    def models(self) -> list[ModelState]:
        return [ModelState(name, name in self.loaded, "") for name in ("one", "two")]

    def detect(self, model: str, _image: bytes, _timeout_s: float) -> None:
        if model not in self.loaded or model in self.failing:
            raise TritonApiError("it fails")


class SilentApi(Api):
    def models(self) -> list[ModelState]:
        raise TritonApiError("no answer")


@pytest.mark.parametrize(
    ("api", "verdict"),
    [
        (Api(["one", "two"], []), Verdict(False)),
        (Api(["one", "two"], ["two"]), Verdict(False, None, "two: it fails")),
        (Api(["one"], []), Verdict(False)),  # `two` was unloaded on purpose
        (Api([], []), Verdict(False, None, "no model is ready")),
        (SilentApi([], []), Verdict(False, None, "no answer")),
    ],
    ids=["both answer", "one fails", "one is unloaded", "none is loaded", "Triton is silent"],
)
def test_triton_is_to_blame_where_a_loaded_model_answers_nothing(api, verdict, monkeypatch):
    monkeypatch.setattr("server.supervision.readiness.is_ready", lambda _url: False)
    assert check("http://127.0.0.1:1", api, lambda: ("one", "two")) == verdict

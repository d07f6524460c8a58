"""Triton's HTTP API on loopback, as far as the launcher needs it (KServe v2 with Triton's extensions)."""

import json
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from sod.interface import IMAGE, SCORE_THRESHOLD

_INDEX_TIMEOUT_S = 5.0
_LOAD_TIMEOUT_S = 600.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class TritonApiError(Exception):
    """Triton did not answer, or answered with an error; the text is Triton's or the operating system's."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model of the repository index.

    Attributes:
        name: of the model.
        ready: whether it can answer.
        reason: why not, in Triton's words; empty if it is ready or was never asked for.
    """

    name: str
    ready: bool
    reason: str


class TritonApi:
    """A client of one server.

    Args:
        port: HTTP port on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def is_live(self, timeout_s: float) -> bool:
        """Whether the server process answers; it does so from the moment the models of its command line are loaded."""
        try:
            self._ask("/v2/health/live", None, timeout_s)
        except TritonApiError:
            return False
        return True

    def models(self) -> list[ModelState]:
        """Every model of the repository.

        Raises:
            TritonApiError: see there.
        """
        index = self._ask("/v2/repository/index", b"{}", _INDEX_TIMEOUT_S)
        try:
            return [
                ModelState(
                    str(entry["name"]),
                    entry.get("state") == "READY",
                    str(entry.get("reason", "")),
                )
                for entry in json.loads(index)
            ]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TritonApiError(f"Triton's repository index is not as expected: {error}") from None

    def load(self, model: str, config: str | None = None) -> None:
        """Load a model.

        Args:
            model: its name.
            config: its configuration as JSON; None is that of its config.pbtxt.

        Raises:
            TritonApiError: Triton does not load it.
        """
        parameters = {} if config is None else {"parameters": {"config": config}}
        self._ask(f"/v2/repository/models/{model}/load", json.dumps(parameters).encode(), _LOAD_TIMEOUT_S)

    def detect(self, model: str, image: bytes, timeout_s: float) -> None:
        """Send one image through an ensemble; the detections are not looked at.

        Args:
            model: name of the ensemble.
            image: encoded.
            timeout_s: seconds for the answer.

        Raises:
            TritonApiError: no answer within that time, or an error.
        """
        config = json.loads(self._ask(f"/v2/models/{model}/config", None, _INDEX_TIMEOUT_S))
        classes = next((i["dims"][0] for i in config["input"] if i["name"] == SCORE_THRESHOLD), 1)
        content = len(image).to_bytes(4, "little") + image
        inputs: list[dict[str, Any]] = [
            {
                "name": IMAGE,
                "shape": [1, 1],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(content)},
            },
            {"name": SCORE_THRESHOLD, "shape": [1, int(classes)], "datatype": "FP32", "data": [1.0] * int(classes)},
        ]
        head = json.dumps({"inputs": inputs}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        self._ask(f"/v2/models/{model}/infer", head + content, timeout_s, headers)

    def _ask(self, path: str, body: bytes | None, timeout_s: float, headers: dict[str, str] | None = None) -> bytes:
        headers = headers or {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}{path}", body, headers)  # noqa: S310 — our own address
        try:
            with _OPENER.open(request, timeout=timeout_s) as response:
                return bytes(response.read())
        except urllib.request.HTTPError as error:
            raise TritonApiError(_error_text(error.read()) or str(error)) from None
        except (OSError, HTTPException) as error:
            raise TritonApiError(str(error) or type(error).__name__) from None


def _error_text(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return ""

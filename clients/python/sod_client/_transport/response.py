"""Parses HTTP responses of a server into results, models and errors."""

import base64
import math
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from sod_client._inputs.items import Item
from sod_client._results.data import Box, Model
from sod_client.errors import AuthenticationError, BadReplyError, ServerBusyError, ServerError
from sod_client.result import Result

_Parsed = TypeVar("_Parsed")
FORMAT_ERRORS = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
_ERRORS: dict[int, type[ServerError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    429: ServerBusyError,
    503: ServerBusyError,
}


def parse_result(response: httpx.Response, item: Item) -> Result:
    """Parse the response to a detection request.

    Raises:
        ServerError: the response reports an error.
        BadReplyError: the response is not in the server's format.
    """

    def parse(result: dict[str, Any], log_id: str | None) -> Result:
        boxes = [_parse_box(detected) for detected in result["detectedObjects"]]
        image = result.get("image")
        overlay = None if image is None else base64.b64decode(image, validate=True)
        # The pixels of arrays and bytes are not kept without need: results stay small.
        source = item if overlay is None or item.is_light else None
        return Result(item.input_path, boxes, page_index=item.page_index, image=overlay, log_id=log_id, source=source)

    return _parse(response, parse)


def parse_error(response: httpx.Response) -> ServerError:
    """The error that a response of a gateway or of Triton reports; it quotes the body if that has another format."""
    status = response.status_code
    kind = _ERRORS.get(status, ServerError)
    try:
        reply = response.json()
        if isinstance(reply.get("error"), str):  # Triton's
            return kind(status, status, reply["error"])
        return kind(status, int(reply["errorCode"]), str(reply["errorMsg"]), _log_id(reply))
    except FORMAT_ERRORS:
        return kind(status, status, excerpt(response))


def parse_models(response: httpx.Response) -> list[Model]:
    """Parse the response to a request for the models; raises the same errors as `parse_result`."""
    return _parse(response, lambda result, _: [_parse_model(model) for model in result["models"]])


def _parse(response: httpx.Response, parse: Callable[[dict[str, Any], str | None], _Parsed]) -> _Parsed:
    status = response.status_code
    if status >= httpx.codes.BAD_REQUEST:
        raise parse_error(response)
    try:
        reply = response.json()
        if status != httpx.codes.OK:
            raise ValueError("the status is neither 200 nor an error")
        log_id = _log_id(reply)
        if reply["errorCode"] != 0:
            raise parse_error(response)
        return parse(reply["result"], log_id)
    except FORMAT_ERRORS as error:
        raise BadReplyError(
            f"{response.url} answered {status}, but not in the format of triton-sod: {excerpt(response)}"
        ) from error


def _log_id(reply: dict[str, Any]) -> str | None:
    log_id = reply.get("logId")
    return None if log_id is None else str(log_id)


def _parse_box(detected: dict[str, Any]) -> Box:
    x1, y1, x2, y2 = (float(edge) for edge in detected["bbox"])
    score = float(detected["score"])
    if not all(map(math.isfinite, (x1, y1, x2, y2, score))):
        raise ValueError("the coordinates and the score must be finite")
    return Box(
        cls_id=int(detected["categoryId"]),
        label=str(detected["categoryName"]),
        score=score,
        coordinate=[x1, y1, x2, y2],
    )


def _parse_model(model: dict[str, Any]) -> Model:
    size, sha256 = model["inputSize"], model.get("sha256")
    height, width = (None, None) if size is None else (int(side) for side in size)
    return Model(
        name=str(model["name"]),
        labels=tuple(str(label) for label in model["labels"]),
        input_size=None if height is None or width is None else (height, width),
        default=bool(model["default"]),
        sha256=None if sha256 is None else str(sha256),
    )


def excerpt(response: httpx.Response) -> str:
    """The beginning of a response in one line, for error messages."""
    text = " ".join(response.text.split())
    return (text if len(text) <= 120 else text[:119] + "…") or response.reason_phrase or "an empty body"

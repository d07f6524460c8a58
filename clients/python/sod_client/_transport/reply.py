"""From the server's answer to a result, or to the error it reports."""

import base64
import math
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from sod_client._inputs.items import Item
from sod_client.errors import AuthenticationError, BadReplyError, ServerBusyError, ServerError
from sod_client.result import Box, Model, Result

_Parsed = TypeVar("_Parsed")
_NOT_OURS = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
_ERRORS: dict[int, type[ServerError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    429: ServerBusyError,
    503: ServerBusyError,
}


def parse_reply(response: httpx.Response, item: Item) -> Result:
    """The result in a 200 reply.

    Raises:
        ServerError: the reply reports an error.
        BadReplyError: the reply is not what the contract says.
    """

    def parsed(result: dict[str, Any], log_id: str | None) -> Result:
        boxes = [_box(found) for found in result["detectedObjects"]]
        image = result.get("image")
        overlay = None if image is None else base64.b64decode(image, validate=True)
        source = item if overlay is None else None
        return Result(item.input_path, boxes, page_index=item.page_index, image=overlay, log_id=log_id, source=source)

    return _parse(response, parsed)


def error_of(response: httpx.Response) -> ServerError:
    """What a reply that is no success reports; an excerpt of it if it is not in the server's format."""
    status = response.status_code
    kind = _ERRORS.get(status, ServerError)
    try:
        reply = response.json()
        return kind(status, int(reply["errorCode"]), str(reply["errorMsg"]), _log_id(reply))
    except _NOT_OURS:
        return kind(status, status, _excerpt(response))


def parse_models(response: httpx.Response) -> list[Model]:
    """The models in a 200 reply; raises as `parse_reply`."""
    return _parse(response, lambda result, _: [_model(model) for model in result["models"]])


def _parse(response: httpx.Response, parsed: Callable[[dict[str, Any], str | None], _Parsed]) -> _Parsed:
    status = response.status_code
    if status >= httpx.codes.BAD_REQUEST:
        raise error_of(response)
    try:
        reply = response.json()
        if status != httpx.codes.OK:
            raise ValueError("neither a result nor an error")
        log_id = _log_id(reply)
        if reply["errorCode"] != 0:
            raise error_of(response)
        return parsed(reply["result"], log_id)
    except _NOT_OURS as error:
        raise BadReplyError(
            f"{response.url} answered {status}, and not as triton-sod does: {_excerpt(response)}"
        ) from error


def _log_id(reply: dict[str, Any]) -> str | None:
    log_id = reply.get("logId")
    return None if log_id is None else str(log_id)


def _box(found: dict[str, Any]) -> Box:
    x1, y1, x2, y2 = (float(edge) for edge in found["bbox"])
    score = float(found["score"])
    if not all(map(math.isfinite, (x1, y1, x2, y2, score))):
        raise ValueError("numbers must be finite")
    return Box(
        cls_id=int(found["categoryId"]), label=str(found["categoryName"]), score=score, coordinate=[x1, y1, x2, y2]
    )


def _model(found: dict[str, Any]) -> Model:
    size = found["inputSize"]
    height, width = (None, None) if size is None else (int(side) for side in size)
    return Model(
        name=str(found["name"]),
        labels=tuple(str(label) for label in found["labels"]),
        input_size=None if height is None or width is None else (height, width),
        default=bool(found["default"]),
    )


def _excerpt(response: httpx.Response) -> str:
    text = " ".join(response.text.split())
    return (text if len(text) <= 120 else text[:119] + "…") or response.reason_phrase or "no text"

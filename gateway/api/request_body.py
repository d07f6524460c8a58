"""A request's body, of whatever kind, to images and options.

`multipart/form-data` is a form, `image/*` and `application/octet-stream` are an image with its options in the query
string, and everything else is JSON, whatever its content type says.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from gateway.api.multipart import Part, read_parts
from gateway.api.schemas import BatchRequest, InferOptions, InferRequest
from gateway.errors import InvalidRequestError, UnsupportedBodyError, ValidationIssue, note_log_id
from gateway.observability.request_context import stage

FORM = "multipart/form-data"
_RAW = "application/octet-stream"
_OPTIONS = tuple(InferOptions.model_fields)
# Fields of a form beside its images; those that nobody knows are ignored as in JSON.
_SPARE_PARTS = 32
_SHOWN = 60
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """An image and what is asked of it.

    Attributes:
        image: The encoded image, or a string of its base64 or URL.
        options: as they were sent.
        where: they were sent; the issues of a field that turn up later name it.
    """

    image: str | bytes
    options: InferOptions
    where: Literal["body", "query"] = "body"

    @contextmanager
    def locating(self) -> Iterator[None]:
        """Let issues raised within name the place where the options were sent."""
        try:
            yield
        except InvalidRequestError as error:
            if self.where == "body":
                raise
            issues = [ValidationIssue(**{**one, "loc": _at(self.where, one["loc"])}) for one in error.issues]
            raise InvalidRequestError(issues) from error


async def read_image(request: Request) -> ParsedRequest:
    """Read a request with one image.

    Raises:
        InvalidRequestError: it does not fit.
        UnsupportedBodyError: it is compressed.
    """
    kind = _kind(request)
    if kind == "form":
        images, fields = await _read_form(request, 1)
        options = _parse_texts(fields, "body")
        if len(images) != 1:
            raise _no_single_image(len(images))
        return ParsedRequest(images[0], options)
    if kind == "raw":
        fields = _single(request.query_params.multi_items(), "query")
        options = _parse_texts(fields, "query")
        with stage("body"):
            return ParsedRequest(await request.body(), options, "query")
    document = await _read_json(request)
    with stage("parse"):
        asked = parse_request(document)
    return ParsedRequest(asked.image, asked)


async def read_batch(
    request: Request, max_images: int
) -> tuple[list[ParsedRequest | InvalidRequestError], InferOptions]:
    """Read a request with several images; those that do not fit are their errors.

    Returns:
        The images, and the options of the batch.

    Raises:
        InvalidRequestError: the request as a whole does not fit.
        UnsupportedBodyError: it is compressed, or an image.
    """
    kind = _kind(request)
    if kind == "raw":
        raise UnsupportedBodyError(f"The body is an image; a batch is sent as JSON or {FORM}")
    if kind == "form":
        images, fields = await _read_form(request, max_images)
        options = _parse_texts(fields, "body")
        if not images:
            raise InvalidRequestError([_issue("missing", "body.image", "Field required")])
        return [ParsedRequest(image, options) for image in images], options
    document = await _read_json(request)
    with stage("parse"):
        batch = _validated(BatchRequest, document)
        if len(batch.images) > max_images:
            raise _too_many_images(len(batch.images), max_images, "body.images")
        # Only an object passes; merged are the values as they were sent, and each image is validated by itself.
        shared = _given(document) if isinstance(document, dict) else {}
        return [_parse_item(item, shared) for item in batch.images], batch


def parse_document(body: bytes) -> object:
    """Parse a body as JSON, whatever its content type says.

    Raises:
        InvalidRequestError: not JSON, or nothing at all.
    """
    if not body:
        raise InvalidRequestError([_issue("missing", "body", "Field required")])
    try:
        document: object = from_json(body)
    except ValueError:
        document = _parse_slowly(body)
    if document is None:
        raise InvalidRequestError([_issue("missing", "body", "Field required")])
    return document


def parse_request(document: object) -> InferRequest:
    """Validate a parsed body.

    Raises:
        InvalidRequestError: it does not fit.
    """
    return _validated(InferRequest, document)


def _kind(request: Request) -> Literal["json", "form", "raw"]:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedBodyError(f"The body is sent with Content-Encoding {encoding[:20]!a}: send it uncompressed")
    media_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if media_type == FORM:
        return "form"
    return "raw" if media_type == _RAW or media_type.startswith("image/") else "json"


async def _read_json(request: Request) -> object:
    with stage("body"):
        body = await request.body()
    with stage("parse"):
        document = parse_document(body)
    # Known before the document is validated, so that every later error carries it.
    note_log_id(document)
    return document


async def _read_form(request: Request, max_images: int) -> tuple[list[str | bytes], dict[str, str]]:
    """The images of a form, and its other fields."""
    with stage("body"):
        parts = await read_parts(request.headers["content-type"], request.stream(), max_parts=max_images + _SPARE_PARTS)
    texts = _single(((part.name, _text(part)) for part in parts if part.name in _OPTIONS), "body")
    images = [part for part in parts if part.name == "image"]
    if len(images) > max_images:
        raise _no_single_image(len(images)) if max_images == 1 else _too_many_images(len(images), max_images)
    return [bytes(part.content) if part.is_file else _text(part) for part in images], texts


def _text(part: Part) -> str:
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        message = "The part is not UTF-8 text"
        if part.name == "image":
            message += ": send an image's bytes with a file name, or as image/*"
        raise InvalidRequestError([_issue("string_unicode", f"body.{part.name[:_SHOWN]}", message)]) from None


def _single(fields: Iterable[tuple[str, str]], where: str) -> dict[str, str]:
    """The options among the fields, each at most once. An empty one, as browsers send it, is none at all."""
    given = [(name, text) for name, text in fields if name in _OPTIONS and text]
    single = dict(given)
    # Known before anything is validated, so that every later error carries it.
    note_log_id(single)
    for name, count in Counter(name for name, _ in given).items():
        if count > 1:
            raise InvalidRequestError([_issue("repeated", f"{where}.{name}", f"The field is given {count} times")])
    return single


def _parse_texts(fields: Mapping[str, str], where: Literal["body", "query"]) -> InferOptions:
    """Options whose values are texts: `threshold` is JSON, the others are as they are."""
    values: dict[str, object] = dict(fields)
    if "threshold" in fields:
        try:
            values["threshold"] = from_json(fields["threshold"])
        except ValueError:
            if fields["threshold"].lstrip().startswith(("{", "[")):
                message = 'It is not JSON: send a number, or an object like {"0": 0.3}'
                raise InvalidRequestError([_issue("json_invalid", f"{where}.threshold", message)]) from None
    with stage("parse"):
        return _validated(InferOptions, values, where)


def _given(document: dict[object, object]) -> dict[object, object]:
    """The options that an object has; null is the same as absent."""
    return {name: document[name] for name in _OPTIONS if document.get(name) is not None}


def _parse_item(item: object, shared: dict[object, object]) -> ParsedRequest | InvalidRequestError:
    if isinstance(item, str):
        item = {"image": item}
    if isinstance(item, dict):
        item = {**item, **shared, **_given(item)}
    try:
        asked = parse_request(item)
    except InvalidRequestError as error:
        return error
    return ParsedRequest(asked.image, asked)


def _validated(model: type[_Model], document: object, where: str = "body") -> _Model:
    try:
        # `from_attributes` is what FastAPI does; the errors of a body that is no object come out the same.
        return model.model_validate(document, from_attributes=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidRequestError([_pydantic_issue(detail, where) for detail in details]) from None


def _parse_slowly(body: bytes) -> object:
    """Parse what the fast parser refused: UTF-16 or a byte order mark pass here, the rest gets its position."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        position = error.pos
    except UnicodeDecodeError as error:
        position = error.start
    except (ValueError, RecursionError):  # an integer of thousands of digits; nesting without end
        position = 0
    raise InvalidRequestError([_issue("json_invalid", f"body[{position}]", "JSON decode error")])


def _issue(kind: str, loc: str, message: str) -> ValidationIssue:
    return {"type": kind, "loc": loc, "msg": message}


def _pydantic_issue(detail: ErrorDetails, where: str) -> ValidationIssue:
    loc = where
    for part in detail["loc"]:
        loc += f"[{part}]" if isinstance(part, int) else f".{part}"
    return _issue(detail["type"], loc, detail["msg"])


def _at(where: str, loc: str) -> str:
    return where + loc.removeprefix("body")


def _no_single_image(count: int) -> InvalidRequestError:
    if not count:
        return InvalidRequestError([_issue("missing", "body.image", "Field required")])
    message = f"The form has {count} parts `image`: send one, or all of them to /small-object-detection/batch"
    return InvalidRequestError([_issue("too_long", "body.image", message)])


def _too_many_images(count: int, limit: int, loc: str = "body.image") -> InvalidRequestError:
    return InvalidRequestError([_issue("too_long", loc, f"The batch has {count} images; the limit is {limit}")])

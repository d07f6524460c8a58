"""Request bodies of every type, parsed to images and options.

`multipart/form-data` is a form, `image/*` and `application/octet-stream` are an encoded image with its options in the
query string, and everything else is JSON, whatever its content type says.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from gateway.api.multipart import Part, read_parts
from gateway.api.schemas import BatchRequest, InferOptions, InferRequest
from gateway.api.validation import InvalidRequestError, Location
from gateway.errors import UnsupportedBodyError
from gateway.observability.request_context import adopt_log_id, stage

FORM = "multipart/form-data"
_RAW = "application/octet-stream"
_OPTIONS = tuple(InferOptions.model_fields)
# Options that are JSON in a form and in the query string, and what to send instead of malformed JSON.
_JSON_OPTIONS = {
    "threshold": 'a number, or an object like {"0": 0.3}',
    "slice": 'true, auto, or an object like {"size": 640}',
    "classes": 'labels or class ids, like car,bus or ["car", 3]',
}
# Parts that a form may have beside its images; unknown ones are ignored, as in JSON.
_MAX_OTHER_PARTS = 32
_MAX_SHOWN_NAME = 60
# Parsing takes time and memory for each value, so a document of many small ones costs far more than its size. Base64
# contains none of these characters.
_JSON_SEPARATORS = (b",", b":", b"[", b"{")
_MAX_JSON_VALUES = 20_000
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """One image of a request and its options.

    Attributes:
        image: The encoded image, or a string with its base64 or URL.
        options: As the client sent them.
    """

    image: str | bytes
    options: InferOptions


async def read_image(request: Request) -> ParsedRequest:
    """Read a request with one image.

    Raises:
        InvalidRequestError: The request does not fit its schema.
        UnsupportedBodyError: The body is compressed.
    """
    body_type = _body_type(request)
    if body_type == "form":
        images, fields = await _read_form(request, 1)
        options = _parse_text_options(fields, "body")
        if len(images) != 1:
            raise _not_one_image(len(images))
        return ParsedRequest(images[0], options)
    if body_type == "raw":
        options = _parse_text_options(_unique_options(request.query_params.multi_items(), "query"), "query")
        with stage("body"):
            return ParsedRequest(await request.body(), options)
    document = await _read_json(request)
    with stage("parse"):
        return _parsed(document)


async def read_batch(request: Request, max_images: int) -> list[ParsedRequest | InvalidRequestError]:
    """Read a request with several images; an image whose entry does not fit is represented by its error.

    Raises:
        InvalidRequestError: The request as a whole does not fit its schema.
        UnsupportedBodyError: The body is compressed, or a single encoded image.
    """
    body_type = _body_type(request)
    if body_type == "raw":
        raise UnsupportedBodyError(f"The body is an image; a batch is sent as JSON or {FORM}")
    if body_type == "form":
        images, fields = await _read_form(request, max_images)
        options = _parse_text_options(fields, "body")
        if not images:
            raise InvalidRequestError.single("missing", "body.image", "Field required")
        return [ParsedRequest(image, options) for image in images]
    document = await _read_json(request)
    with stage("parse"):
        batch = _validate(BatchRequest, document)
        if len(batch.images) > max_images:
            raise _too_many_images(len(batch.images), max_images, "body.images")
        # Only an object is valid. The values are merged as they were sent, and each image is validated by itself.
        shared = _given_options(document) if isinstance(document, dict) else {}
        return [_parse_item(item, shared) for item in batch.images]


def _has_too_many_values(body: bytes) -> bool:
    """Count with `find`, which passes over the megabytes of a base64 string ten times as fast as `count`."""
    values = 0
    for separator in _JSON_SEPARATORS:
        position = body.find(separator)
        while position >= 0 and values <= _MAX_JSON_VALUES:
            values += 1
            position = body.find(separator, position + 1)
    return values > _MAX_JSON_VALUES


def options_location(request: Request) -> Location:
    """Where the options of a request are: in the query string if its body is an encoded image."""
    media_type = _media_type(request)
    return "query" if media_type == _RAW or media_type.startswith("image/") else "body"


def parse_document(body: bytes) -> object:
    """Parse a body as JSON, whatever its content type says.

    Raises:
        InvalidRequestError: It is empty or not JSON.
    """
    if _has_too_many_values(body):
        message = f"The document has more than {_MAX_JSON_VALUES:,} values, which is the limit"
        raise InvalidRequestError.single("too_many_values", "body", message)
    if not body:
        raise InvalidRequestError.single("missing", "body", "Field required")
    try:
        document: object = from_json(body)
    except ValueError:
        document = _parse_leniently(body)
    return document


def parse_request(document: object) -> InferRequest:
    """Validate a parsed body.

    Raises:
        InvalidRequestError: It does not fit the schema.
    """
    return _validate(InferRequest, document)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()


def _body_type(request: Request) -> Literal["json", "form", "raw"]:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedBodyError(f"The body is sent with Content-Encoding {encoding[:20]!a}: send it uncompressed")
    if _media_type(request) == FORM:
        return "form"
    return "raw" if options_location(request) == "query" else "json"


async def _read_json(request: Request) -> object:
    with stage("body"):
        body = await request.body()
    with stage("parse"):
        document = parse_document(body)
    # Before the validation, so that its errors carry the log id.
    adopt_log_id(document)
    return document


async def _read_form(request: Request, max_images: int) -> tuple[list[str | bytes], dict[str, str]]:
    """The images of a form, and its options."""
    with stage("body"):
        parts = await read_parts(
            request.headers["content-type"], request.stream(), max_parts=max_images + _MAX_OTHER_PARTS
        )
    options = _unique_options(((part.name, _text(part)) for part in parts if part.name in _OPTIONS), "body")
    images = [part for part in parts if part.name == "image"]
    if len(images) > max_images:
        raise _not_one_image(len(images)) if max_images == 1 else _too_many_images(len(images), max_images)
    return [bytes(part.content) if part.is_file else _text(part) for part in images], options


def _text(part: Part) -> str:
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        message = "The part is not UTF-8 text"
        if part.name == "image":
            message += ": send an image's bytes with a file name, or as image/*"
        raise InvalidRequestError.single("string_unicode", f"body.{part.name[:_MAX_SHOWN_NAME]}", message) from None


def _unique_options(fields: Iterable[tuple[str, str]], location: Location) -> dict[str, str]:
    """The options among the fields, each at most once. An empty one, as browsers send it, counts as absent."""
    given = [(name, text) for name, text in fields if name in _OPTIONS and text]
    unique = dict(given)
    # Before any validation, so that its errors carry the log id.
    adopt_log_id(unique)
    for name, count in Counter(name for name, _ in given).items():
        if count > 1:
            raise InvalidRequestError.single("repeated", f"{location}.{name}", f"The field is given {count} times")
    return unique


def _parse_text_options(fields: Mapping[str, str], location: Location) -> InferOptions:
    """Options whose values are texts: `_JSON_OPTIONS` are JSON, Pydantic converts the others.

    `classes` may also be labels and class ids with commas between them.
    """
    values: dict[str, object] = dict(fields)
    for name, wanted in _JSON_OPTIONS.items():
        if name not in fields:
            continue
        try:
            values[name] = from_json(fields[name])
        except ValueError:
            if fields[name].lstrip().startswith(("{", "[")):
                message = f"It is not JSON: send {wanted}"
                raise InvalidRequestError.single("json_invalid", f"{location}.{name}", message) from None
    if "classes" in fields and not isinstance(listed := values["classes"], list):
        text = listed if isinstance(listed, str) else fields["classes"]
        values["classes"] = [part for each in text.split(",") if (part := each.strip())]
    with stage("parse"):
        return _validate(InferOptions, values, location)


def _given_options(document: dict[object, object]) -> dict[object, object]:
    """The options of an object; null is the same as absent."""
    return {name: document[name] for name in _OPTIONS if document.get(name) is not None}


def _parse_item(item: object, shared: dict[object, object]) -> ParsedRequest | InvalidRequestError:
    if isinstance(item, str):
        item = {"image": item}
    if isinstance(item, dict):
        item = {**item, **shared, **_given_options(item)}
    try:
        return _parsed(item)
    except InvalidRequestError as error:
        return error


def _parsed(document: object) -> ParsedRequest:
    request = parse_request(document)
    return ParsedRequest(request.image, request)


def _validate(model: type[_Model], document: object, location: Location = "body") -> _Model:
    try:
        # FastAPI sets `from_attributes` too; without it a body that is not an object would give another error type.
        return model.model_validate(document, from_attributes=True)
    except ValidationError as error:
        raise InvalidRequestError.from_pydantic(error, location) from None


def _parse_leniently(body: bytes) -> object:
    """Parse what the fast parser refused: UTF-16 and a byte order mark are accepted, other errors get a position."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        position = error.pos
    except UnicodeDecodeError as error:
        position = error.start
    except (ValueError, RecursionError):  # an integer with thousands of digits; too deeply nested
        position = 0
    raise InvalidRequestError.single("json_invalid", f"body[{position}]", "JSON decode error")


def _not_one_image(count: int) -> InvalidRequestError:
    if not count:
        return InvalidRequestError.single("missing", "body.image", "Field required")
    message = f"The form has {count} parts `image`: send one, or all of them to /small-object-detection/batch"
    return InvalidRequestError.single("too_long", "body.image", message)


def _too_many_images(count: int, limit: int, loc: str = "body.image") -> InvalidRequestError:
    return InvalidRequestError.single("too_long", loc, f"The batch has {count} images; the limit is {limit}")

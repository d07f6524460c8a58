"""The wire's documents: PaddleX's, with its words."""

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from gateway.errors import InvalidRequestError, ValidationIssue

Threshold = float | dict[int, float]


class InferRequest(BaseModel):
    """A picture to look at. Unknown fields are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"image": "https://example.com/street.jpg"},
                {"image": "/9j/4AAQSkZJRgABAQ…", "threshold": 0.4, "visualize": False},
                {"image": "/9j/4AAQSkZJRgABAQ…", "threshold": {"0": 0.3, "3": 0.6}},
                {"image": "https://example.com/street.jpg", "model": "PP-YOLOE_plus_SOD-S"},
            ]
        }
    )

    image: str = Field(
        description="Base64 of a JPEG, PNG, WebP, BMP or TIFF (a `data:` URL of one too), or its http(s) URL on a "
        "public host."
    )
    threshold: Threshold | None = Field(
        None,
        description="An object is kept if its score is greater. A number from 0 to 1 for all classes, or an object of "
        "class id → number; classes it leaves out, and all if it is null or absent, use the model's default, or else "
        "the server's (0.5).",
    )
    visualize: bool | None = Field(
        None, description="Return the picture with its boxes drawn; null or absent follows the server's setting."
    )
    model: str | None = Field(
        None, description="One of the models of `GET /models`; null or absent is the default one. Not in PaddleX."
    )
    logId: str | None = Field(None, description="Comes back as the answer's `logId`.")  # noqa: N815 - the wire's word

    @field_validator("threshold")
    @classmethod
    def _in_range(cls, threshold: Threshold | None) -> Threshold | None:
        if isinstance(threshold, dict):
            for class_id, value in threshold.items():
                _check_threshold(f"the threshold of class {class_id}", value)
        elif threshold is not None:
            _check_threshold("the threshold", threshold)
        return threshold


class DetectedObject(BaseModel):
    """One object."""

    bbox: Annotated[list[float], Field(min_length=4, max_length=4)] = Field(
        description="Left, top, right, bottom in pixels of the picture as shown (EXIF rotation applied)."
    )
    categoryId: int = Field(description="Class id.")  # noqa: N815 - the wire's word
    categoryName: str = Field(description="Class label.")  # noqa: N815 - the wire's word
    score: float = Field(description="0 to 1, greater than the class's threshold.")


class InferResult(BaseModel):
    """What was found."""

    detectedObjects: list[DetectedObject] = Field(  # noqa: N815 - the wire's word
        description="By class id ascending, then score descending."
    )
    image: str | None = Field(
        None, description="Base64 JPEG of the picture with its boxes; left out where `visualize` is false."
    )


class Envelope(BaseModel):
    """What every answer has."""

    logId: str = Field(  # noqa: N815 - the wire's word
        description="The request's, or a fresh UUID.", examples=["9a3a0dd4-5d4e-4a6c-9d61-5ac5e7a7c0c1"]
    )
    errorCode: int = Field(description="0, or the HTTP status of an error.")  # noqa: N815 - the wire's word
    errorMsg: str = Field(description="`Success`, `Healthy`, or what is wrong.")  # noqa: N815 - the wire's word


class InferResponse(Envelope):
    """The answer to a picture."""

    result: InferResult


class ModelDescription(BaseModel):
    """A model that a request may name."""

    name: str = Field(description="For the request's `model`.")
    labels: list[str] = Field(description="Class labels, by class id.")
    inputSize: list[int] | None = Field(  # noqa: N815 - the wire's word
        description="Height and width that pictures are resized to; null if the model does not say."
    )
    default: bool = Field(description="Whether requests that name no model get this one.")


class ModelsResult(BaseModel):
    """What may be asked for."""

    models: list[ModelDescription] = Field(description="The models that are ready, the default first.")


class ModelsResponse(Envelope):
    """The answer to the question for models."""

    result: ModelsResult


def parse_document(body: bytes) -> object:
    """Parse a body as JSON, whatever its content type says.

    Raises:
        InvalidRequestError: not JSON, or nothing at all.
    """
    if not body:
        raise InvalidRequestError([{"type": "missing", "loc": "body", "msg": "Field required"}])
    try:
        document: object = from_json(body)
    except ValueError:
        document = _parse_slowly(body)
    if document is None:
        raise InvalidRequestError([{"type": "missing", "loc": "body", "msg": "Field required"}])
    return document


def parse_request(document: object) -> InferRequest:
    """Validate a parsed body.

    Raises:
        InvalidRequestError: it does not fit.
    """
    try:
        # `from_attributes` is what FastAPI does; the errors of a body that is no object come out the same.
        return InferRequest.model_validate(document, from_attributes=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidRequestError([_issue(detail) for detail in details]) from None


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
    raise InvalidRequestError([{"type": "json_invalid", "loc": f"body[{position}]", "msg": "JSON decode error"}])


def _check_threshold(what: str, value: float) -> None:
    if not 0 <= value <= 1:  # NaN compares false
        raise PydanticCustomError(
            "threshold_range",
            "{what} is {value}: send a number from 0 to 1, or an object of class id and number from 0 to 1",
            {"what": what, "value": str(value)},
        )


def _issue(detail: ErrorDetails) -> ValidationIssue:
    loc = "body"
    for part in detail["loc"]:
        loc += f"[{part}]" if isinstance(part, int) else f".{part}"
    return {"type": detail["type"], "loc": loc, "msg": detail["msg"]}

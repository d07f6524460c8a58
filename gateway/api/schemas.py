"""The wire's documents: PaddleX's, with its words, and what is added to them."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from sod.encode import ImageFormat

# What is drawn up here for the document says less than what is taken: numeric strings are numbers too.
_SCORE = {"type": "number", "minimum": 0, "maximum": 1}
_BY_CLASS = {"type": "object", "propertyNames": {"pattern": "^[0-9]{1,4}$"}, "additionalProperties": _SCORE}
Threshold = float | dict[int, float]

_IMAGE = Field(description="Base64 of a JPEG, PNG, WebP, BMP or TIFF (a `data:` URL of one too), or its http(s) URL.")


class _WithImage(BaseModel):
    image: str = _IMAGE


class InferOptions(BaseModel):
    """How an image is looked at."""

    threshold: Annotated[
        Threshold | None, WithJsonSchema({"anyOf": [_SCORE, _BY_CLASS, {"type": "null"}], "default": None})
    ] = Field(
        None,
        description="An object is kept if its score is greater. A number from 0 to 1 for all classes, or an object of "
        "class id → number; classes it leaves out, and all if it is null or absent, use the model's default, or else "
        "the server's (0.5).",
    )
    visualize: bool | None = Field(
        None,
        description="Return the image with its boxes drawn; null or absent is as `Accept` or the server has it.",
    )
    model: str | None = Field(
        None, description="One of the models of `GET /models`; null or absent is the default one. Not in PaddleX."
    )
    maxDetections: int | None = Field(
        None,
        ge=1,
        description="Keep so many objects, those with the highest scores over all classes; null or absent keeps all. "
        "Not in PaddleX.",
    )
    imageFormat: ImageFormat | None = Field(
        None,
        description="Format of the drawn image; null or absent is `jpeg`, or as `Accept` has it. Not in PaddleX.",
    )
    imageQuality: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Quality of the drawn JPEG or WebP; null or absent is the server's (90). PNG is lossless and has "
        "none. Not in PaddleX.",
    )
    logId: str | None = Field(None, description="Comes back as the answer's `logId`.")

    @field_validator("threshold")
    @classmethod
    def _in_range(cls, threshold: Threshold | None) -> Threshold | None:
        if isinstance(threshold, dict):
            for class_id, value in threshold.items():
                _check_threshold(f"the threshold of class {class_id}", value)
        elif threshold is not None:
            _check_threshold("the threshold", threshold)
        return threshold


# `image` comes first, in the documents and among the issues: fields are collected from the last base on.
class InferRequest(InferOptions, _WithImage):
    """An image to look at. Unknown fields are ignored."""


class _WithImages(BaseModel):
    # Each is validated by itself, so that a wrong one fails alone.
    images: list[Any] = Field(
        min_length=1,
        description="The images: what `image` of a single request may be, or an object of `image` and options that "
        "are this image's own; those it leaves out, or has null, are as the batch has them.",
    )


class BatchRequest(InferOptions, _WithImages):
    """Images to look at, and options of all of them. Unknown fields are ignored."""


class DetectedObject(BaseModel):
    """One object."""

    bbox: Annotated[list[float], Field(min_length=4, max_length=4)] = Field(
        description="Left, top, right, bottom in pixels of the image as shown (EXIF rotation applied)."
    )
    categoryId: int = Field(description="Class id.")
    categoryName: str = Field(description="Class label.")
    score: float = Field(description="0 to 1, greater than the class's threshold.")


class InferResult(BaseModel):
    """What was found."""

    detectedObjects: list[DetectedObject] = Field(description="By class id ascending, then score descending.")
    image: str | None = Field(
        None,
        description="Base64 of the image with its boxes, a JPEG unless `imageFormat` says otherwise; left out where "
        "`visualize` is false.",
    )


class Envelope(BaseModel):
    """What every answer has."""

    logId: str = Field(description="The request's, or a fresh UUID.", examples=["9a3a0dd4-5d4e-4a6c-9d61-5ac5e7a7c0c1"])
    errorCode: int = Field(description="0, or the HTTP status of an error.")
    errorMsg: str = Field(description="`Success`, `Healthy`, or what is wrong.")


class InferResponse(Envelope):
    """The answer to an image."""

    result: InferResult


class BatchEntry(BaseModel):
    """What came of one image of a batch."""

    errorCode: int = Field(description="0, or the HTTP status that this image would have been answered with by itself.")
    errorMsg: str = Field(description="`Success`, or what is wrong with this image.")
    result: InferResult | None = Field(None, description="Left out where `errorCode` is not 0.")


class BatchResult(BaseModel):
    """What came of the images."""

    results: list[BatchEntry] = Field(description="One an image, in the order of the request.")


class BatchResponse(Envelope):
    """The answer to a batch: success, whatever became of the single images."""

    result: BatchResult


class ModelDescription(BaseModel):
    """A model that a request may name."""

    name: str = Field(description="For the request's `model`.")
    labels: list[str] = Field(description="Class labels, by class id.")
    inputSize: list[int] | None = Field(
        description="Height and width that images are resized to; null if the model does not say."
    )
    default: bool = Field(description="Whether requests that name no model get this one.")


class ModelsResult(BaseModel):
    """What may be asked for."""

    models: list[ModelDescription] = Field(description="The models that are ready, the default first.")


class ModelsResponse(Envelope):
    """The answer to the question for models."""

    result: ModelsResult


def _check_threshold(what: str, value: float) -> None:
    if not 0 <= value <= 1:  # NaN compares false
        raise PydanticCustomError(
            "threshold_range",
            "{what} is {value}: send a number from 0 to 1, or an object of class id and number from 0 to 1",
            {"what": what, "value": str(value)},
        )

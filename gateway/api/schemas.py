"""Requests and responses of the API: PaddleX's, with its names, and the additional fields."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from gateway.inference.sliced import SliceOptions
from gateway.observability.request_context import log_id_text
from sod.encode import ImageFormat
from sod.merging import Combine, MatchMetric

# Stricter than the validation, which accepts numeric strings too.
_SCORE = {"type": "number", "minimum": 0, "maximum": 1}
_BY_CLASS = {"type": "object", "propertyNames": {"pattern": "^[0-9]{1,4}$"}, "additionalProperties": _SCORE}
Threshold = float | dict[int, float]

_IMAGE = Field(description="Base64 of a JPEG, PNG, WebP, BMP or TIFF (a `data:` URL of one too), or its http(s) URL.")


class _WithImage(BaseModel):
    image: str = _IMAGE


def _each(value: object) -> object:
    """One number stands for both directions."""
    return [value, value] if isinstance(value, int | float) and not isinstance(value, bool) else value


_SLICES = SliceOptions()  # the defaults, which `slice: true` has too
_Share = Annotated[float, Field(ge=0, le=0.9)]
_Side = Annotated[int, Field(ge=32, le=16_384)]


class Slices(BaseModel):
    """How an image is sliced. Names and defaults follow PaddleDetection's `--slice_infer`."""

    model_config = ConfigDict(extra="forbid")

    size: Annotated[tuple[_Side, _Side] | None, BeforeValidator(_each, json_schema_input_type=_Side | list[_Side])] = (
        Field(
            None,
            description="Width and height of a slice in pixels, or one number for both; null or absent: those "
            "of the model's input.",
        )
    )
    overlap: Annotated[tuple[_Share, _Share], BeforeValidator(_each, json_schema_input_type=_Share | list[_Share])] = (
        Field(
            _SLICES.overlap,
            description="Share of a slice that its neighbours cover too, horizontal and vertical, or "
            "one number for both.",
        )
    )
    fullImage: bool = Field(
        _SLICES.full_image, description="Detect the whole image too, for objects larger than a slice."
    )
    combine: Combine = Field(
        _SLICES.merging.combine,
        description="`nms` keeps the best of the boxes that match, `nmm` their common box, `none` all of them.",
    )
    matchMetric: MatchMetric = Field(
        _SLICES.merging.metric, description="Intersection over the smaller box, or over the union."
    )
    matchThreshold: float = Field(
        _SLICES.merging.threshold, gt=0, le=1, description="Boxes match if their metric is at least this."
    )


class InferOptions(BaseModel):
    """Options of the detection and of the response."""

    threshold: Annotated[
        Threshold | None, WithJsonSchema({"anyOf": [_SCORE, _BY_CLASS, {"type": "null"}], "default": None})
    ] = Field(
        None,
        description="An object is kept if its score is greater. A number from 0 to 1 for all classes, or an object of "
        "class id → number; classes without one, and all if it is null or absent, use the model's default, or else "
        "the server's (0.5).",
    )
    classes: Annotated[list[StrictInt | str] | None, Field(min_length=1)] = Field(
        None,
        description="Detect only objects of these classes: class ids, or labels of `GET /models`. Other classes are "
        "left out before objects suppress each other. Null or absent: all classes. Not in PaddleX.",
        examples=[["car", "bus"], [3]],
    )
    iouThreshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="An object is left out if its intersection over union with a better one is greater; null or "
        "absent: the model's own value (0.6). Not in PaddleX.",
        examples=[0.5],
    )
    classAgnosticNms: bool | None = Field(
        None,
        description="Whether an object is left out because of a better one of another class too, so that a vehicle "
        "is not both a van and a bus; null or absent: only within its class. Not in PaddleX.",
        examples=[True],
    )
    visualize: bool | None = Field(
        None,
        description="Return the image with its boxes drawn; null or absent: as `Accept` or the server's default says.",
    )
    model: str | None = Field(
        None, description="One of the models of `GET /models`; null or absent: the default one. Not in PaddleX."
    )
    slice: bool | Literal["auto"] | Slices | None = Field(
        None,
        description="Detect a large image in overlapping slices at their own resolution, so that small objects are "
        "found. `true`: slices as large as the model's input; `auto`: the same, but images up to 1.5 times that size "
        "are left whole; an object says how. Not in PaddleX.",
    )
    maxDetections: int | None = Field(
        None,
        ge=1,
        description="Keep at most this many objects, those with the highest scores over all classes; null or absent "
        "keeps all. Not in PaddleX.",
    )
    imageFormat: ImageFormat | None = Field(
        None,
        description="Format of the drawn image; null or absent: `jpeg`, or as `Accept` says. Not in PaddleX.",
    )
    imageQuality: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Quality of the drawn JPEG or WebP; null or absent: the server's default (90). Ignored for PNG, "
        "which is lossless. Not in PaddleX.",
    )
    logId: Annotated[str | None, BeforeValidator(log_id_text)] = Field(
        None, description="Returned as the `logId` of the response; an integer is returned as its digits."
    )

    @field_validator("threshold")
    @classmethod
    def _in_range(cls, threshold: Threshold | None) -> Threshold | None:
        if isinstance(threshold, dict):
            for class_id, value in threshold.items():
                _check_threshold(f"the threshold of class {class_id}", value)
        elif threshold is not None:
            _check_threshold("the threshold", threshold)
        return threshold


# Pydantic collects fields from the last base class on; `image` comes first in the schema and among the issues.
class InferRequest(InferOptions, _WithImage):
    """An image and the options of its detection. Unknown fields are ignored."""


class _WithImages(BaseModel):
    # Each entry is validated by itself, so that an invalid one does not fail the others.
    images: list[Any] = Field(
        min_length=1,
        description="The images: what `image` of a single request may be, or an object of `image` and options of this "
        "image; options that are null or absent are those of the batch.",
    )


class BatchRequest(InferOptions, _WithImages):
    """Several images, and the options of all of them. Unknown fields are ignored."""


class DetectedObject(BaseModel):
    """One detected object."""

    bbox: Annotated[list[float], Field(min_length=4, max_length=4)] = Field(
        description="Left, top, right, bottom in pixels of the image as shown (EXIF rotation applied)."
    )
    categoryId: int = Field(description="Class id.")
    categoryName: str = Field(description="Class label.")
    score: float = Field(description="0 to 1, greater than the threshold of its class.")


class InferResult(BaseModel):
    """The detections in one image."""

    detectedObjects: list[DetectedObject] = Field(description="By class id ascending, then score descending.")
    image: str | None = Field(
        None,
        description="Base64 of the image with its boxes, a JPEG unless `imageFormat` says otherwise; absent if "
        "`visualize` is false.",
    )


class Envelope(BaseModel):
    """The fields of every response."""

    logId: str = Field(
        description="The `logId` of the request, or a new UUID.", examples=["9a3a0dd4-5d4e-4a6c-9d61-5ac5e7a7c0c1"]
    )
    errorCode: int = Field(description="0, or the HTTP status of an error.")
    errorMsg: str = Field(description="`Success`, `Healthy`, or the error.")


class InferResponse(Envelope):
    """The response for one image."""

    result: InferResult


class BatchEntry(BaseModel):
    """The result of one image of a batch."""

    errorCode: int = Field(description="0, or the HTTP status that a single request with this image would have had.")
    errorMsg: str = Field(description="`Success`, or the error of this image.")
    result: InferResult | None = Field(None, description="Absent if `errorCode` is not 0.")


class BatchResult(BaseModel):
    """The results of all images."""

    results: list[BatchEntry] = Field(description="One entry per image, in the order of the request.")


class BatchResponse(Envelope):
    """The response for a batch: a success, whatever the results of the single images."""

    result: BatchResult


class ModelDescription(BaseModel):
    """A model that a request may name."""

    name: str = Field(description="The name for the request's `model`.")
    labels: list[str] = Field(description="Class labels, by class id.")
    inputSize: list[int] | None = Field(
        description="Height and width that images are resized to; null if the configuration does not state it."
    )
    default: bool = Field(description="Whether requests that name no model get this one.")
    sha256: str | None = Field(
        description="SHA-256 of the files with the weights that are served, in hexadecimal digits; null if it is not "
        "known, or if several inference servers have different ones."
    )


class ModelsResult(BaseModel):
    """The available models."""

    models: list[ModelDescription] = Field(description="The models that are ready, the default first.")


class ModelsResponse(Envelope):
    """The response with the available models."""

    result: ModelsResult


def _check_threshold(what: str, value: float) -> None:
    if not 0 <= value <= 1:  # false for NaN
        raise PydanticCustomError(
            "threshold_range",
            "{what} is {value}: send a number from 0 to 1, or an object of class id and number from 0 to 1",
            {"what": what, "value": str(value)},
        )

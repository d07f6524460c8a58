"""What the OpenAPI document says beyond what the models do: every kind of body and answer, with examples."""

from collections.abc import Mapping
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic.json_schema import models_json_schema

from gateway.api.content_negotiation import JSON
from gateway.api.request_body import FORM
from gateway.api.responses import DETECTIONS_HEADER, LOG_ID_HEADER, TIMING_HEADER
from gateway.api.schemas import BatchRequest, Envelope, InferOptions, InferRequest
from sod.encode import FORMATS

_Document = dict[str, Any]

_LOG_ID = "9a3a0dd4-5d4e-4a6c-9d61-5ac5e7a7c0c1"
_URL = "https://example.com/street.jpg"
# A PNG of 32 x 24 pixels, so that the examples can be sent as they are.
_BASE64 = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAYCAIAAAAUMWhjAAAAOUlEQVRIx2NMyatgoCVgYqAxGLVg1ALKAQt+6YpdG/DIdrgFjMbB"
    "qAUEUxEx6WQ0DkYtGLVgwC0AAHXyBZy+1khnAAAAAElFTkSuQmCC"
)
_BYTES: _Document = {"type": "string", "format": "binary"}
_REFERENCE = "#/components/schemas/{model}"

# Status → (what it means, an errorMsg).
_ERRORS = {
    401: (
        "The server asks for API keys, and the request has none that it knows.",
        "This server requires an API key: send `Authorization: Bearer <key>` or `X-API-Key: <key>`",
    ),
    406: (
        "`Accept` asks for images only, and for none that can be had.",
        "`Accept` is 'image/gif'; the answer can be had as application/json or image/jpeg or image/png or image/webp",
    ),
    408: (
        "The body did not come in time.",
        "The request body paused for 10 s and was not complete: 1,024 bytes arrived",
    ),
    413: (
        "The body, or the image, has too many bytes.",
        "The request body is larger than 67,108,864 bytes: send a smaller image, or its URL",
    ),
    415: (
        "The body is compressed, or of a kind that this path does not read.",
        "The body is sent with Content-Encoding 'gzip': send it uncompressed",
    ),
    422: (
        "The request does not fit its schema (then `errorMsg` is a JSON list), or its image cannot be had or read.",
        '[{"type": "missing", "loc": "body.image", "msg": "Field required"}]',
    ),
    429: (
        "More requests than the client's rate limit allows; `Retry-After` says when to try again.",
        "More than 10 requests in 1 s: try again in 1 s",
    ),
    500: ("A defect of the gateway.", "Internal server error"),
    503: (
        "Too many requests are inside, or the inference server cannot answer now; `Retry-After` has the seconds.",
        "The inference server cannot be reached or is not ready; try again",
    ),
    504: ("The answer was not ready in time.", "The response was not ready within 60 s; try again"),
}
DETECTION_ERRORS = tuple(_ERRORS)

# For the document only, where they make the key an entry of `/docs`: `ApiKeys` checks it, before any of this.
KEY_DOCS = [
    Depends(HTTPBearer(auto_error=False, description="An API key, where the server asks for one.")),
    Depends(APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key in a header of its own.")),
]
KEY_OPTIONAL: _Document = {"security": [{}]}

_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}, "example": "1"}}
_TIMING = {
    TIMING_HEADER: {
        "description": "Milliseconds of each stage, and in total; the images of a batch add up.",
        "schema": {"type": "string"},
        "example": "body;dur=0.2, parse;dur=0.5, decode;dur=6.3, infer;dur=41.0, draw;dur=5.1, encode;dur=5.9, "
        "total;dur=53.4",
    }
}

_RESULT = {
    "detectedObjects": [
        {"bbox": [203.6, 701.4, 224.2, 743.8], "categoryId": 0, "categoryName": "pedestrian", "score": 0.8183}
    ]
}
_REFUSED = {
    "errorCode": 422,
    "errorMsg": "these 12 bytes are not an image we can read: send JPEG, PNG, WebP, BMP or TIFF",
}


def _success(result: _Document) -> _Document:
    return {"logId": _LOG_ID, "errorCode": 0, "errorMsg": "Success", "result": result}


def error_responses(*statuses: int) -> dict[int | str, _Document]:
    """The documents of errors, for a route's `responses`."""
    documents: dict[int | str, _Document] = {}
    for status in statuses:
        description, message = _ERRORS[status]
        example = {"logId": _LOG_ID, "errorCode": status, "errorMsg": message}
        documents[status] = {
            "model": Envelope,
            "description": description,
            "content": {JSON: {"example": example}},
        }
        if status in (429, 503):
            documents[status]["headers"] = _RETRY_AFTER
    return documents


INFER_RESPONSES: dict[int | str, _Document] = {
    200: {
        "description": "What was found, as JSON; the drawn image itself where `Accept` prefers an image.",
        "headers": _TIMING
        | {
            LOG_ID_HEADER: {
                "description": "With an image: the `logId`, percent-encoded, its first 200 characters.",
                "schema": {"type": "string"},
                "example": _LOG_ID,
            },
            DETECTIONS_HEADER: {
                "description": "With an image: how many objects were found.",
                "schema": {"type": "string", "pattern": "^[0-9]+$"},
                "example": "42",
            },
        },
        "content": {
            JSON: {
                "examples": {
                    "with the drawn image": {"value": _success(_RESULT | {"image": _BASE64})},
                    "without": {"value": _success(_RESULT)},
                }
            }
        }
        | {f"image/{one}": {"schema": _BYTES} for one in FORMATS},
    },
    **error_responses(*DETECTION_ERRORS),
}

BATCH_RESPONSES: dict[int | str, _Document] = {
    200: {
        "description": "What came of each image, in their order.",
        "headers": _TIMING,
        "content": {
            JSON: {
                "example": _success({"results": [{"errorCode": 0, "errorMsg": "Success", "result": _RESULT}, _REFUSED]})
            }
        },
    },
    **error_responses(*DETECTION_ERRORS),
}

_INFER_EXAMPLES = {
    "a URL": {"image": _URL},
    "one threshold, no drawn image": {"image": _BASE64, "threshold": 0.4, "visualize": False},
    "thresholds by class": {"image": _BASE64, "threshold": {"0": 0.3, "3": 0.6}},
    "all options": {
        "image": _URL,
        "threshold": 0.25,
        "visualize": True,
        "model": "PP-YOLOE_plus_SOD-S",
        "maxDetections": 100,
        "imageFormat": "webp",
        "imageQuality": 80,
        "logId": "mine-42",
    },
}
_BATCH_EXAMPLES = {
    "images": {"images": [_URL, _BASE64], "visualize": False},
    "options of single images": {
        "images": [_URL, {"image": _BASE64, "threshold": 0.6, "visualize": True}],
        "threshold": 0.3,
        "visualize": False,
    },
}
_FORM_ENCODING = {"threshold": {"contentType": "application/json"}}

INFER_EXTRA: _Document = KEY_OPTIONAL | {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"$ref": _REFERENCE.format(model="InferRequest")},
                "examples": {name: {"value": value} for name, value in _INFER_EXAMPLES.items()},
            },
            FORM: {"schema": {"$ref": _REFERENCE.format(model="InferForm")}, "encoding": _FORM_ENCODING},
            "image/*": {"schema": _BYTES},
            "application/octet-stream": {"schema": _BYTES},
        },
    },
}
BATCH_EXTRA: _Document = KEY_OPTIONAL | {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"$ref": _REFERENCE.format(model="BatchRequest")},
                "examples": {name: {"value": value} for name, value in _BATCH_EXAMPLES.items()},
            },
            FORM: {"schema": {"$ref": _REFERENCE.format(model="BatchForm")}, "encoding": _FORM_ENCODING},
        },
    }
}


def install_openapi(app: FastAPI, max_batch_images: int) -> None:
    """Let `app` describe itself with the schemas of the bodies that FastAPI does not parse."""

    def document() -> _Document:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=_TAGS
            )
            app.openapi_schema["components"]["schemas"] |= _body_schemas(max_batch_images)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


_TAGS = [
    {"name": "detection", "description": "Images in, objects out."},
    {"name": "health", "description": "For probes."},
    {"name": "operations", "description": "For those who watch the service."},
]


def _body_schemas(max_batch_images: int) -> _Document:
    _, generated = models_json_schema(
        [(model, "validation") for model in (InferRequest, BatchRequest)], ref_template=_REFERENCE
    )
    schemas: _Document = generated["$defs"]
    infer, batch = schemas["InferRequest"], schemas["BatchRequest"]
    own = {name: schema for name, schema in infer["properties"].items() if name != "logId"}
    schemas["BatchItem"] = infer | {
        "title": "BatchItem",
        "description": "An image of a batch, and options that are its own.",
        "properties": own,
    }
    images: _Document = batch["properties"]["images"]
    images["items"] = {"anyOf": [{"type": "string"}, {"$ref": _REFERENCE.format(model="BatchItem")}]}
    images["maxItems"] = max_batch_images
    options = {name: _not_null(infer["properties"][name]) for name in InferOptions.model_fields}
    file = _BYTES | {"description": "The image's file; a part without a file name is its base64 or URL."}
    schemas["InferForm"] = {
        "type": "object",
        "title": "InferForm",
        "description": "The fields of a request as parts. An empty one is as absent.",
        "required": ["image"],
        "properties": {"image": file} | options,
    }
    schemas["BatchForm"] = {
        "type": "object",
        "title": "BatchForm",
        "description": "The fields of a batch as parts: one `image` an image. An empty one is as absent.",
        "required": ["image"],
        "properties": {"image": {"type": "array", "items": file, "minItems": 1, "maxItems": max_batch_images}}
        | options,
    }
    return schemas


def query_parameters() -> list[_Document]:
    """The options of an image that is a body by itself."""
    properties = InferRequest.model_json_schema(ref_template=_REFERENCE)["properties"]
    return [_query_parameter(name, _not_null(properties[name])) for name in InferOptions.model_fields]


def _query_parameter(name: str, schema: _Document) -> _Document:
    told = {"name": name, "in": "query", "description": f"With a body of image bytes only. {schema.pop('description')}"}
    return told | ({"content": {JSON: {"schema": schema}}} if name == "threshold" else {"schema": schema})


def _not_null(schema: Mapping[str, Any]) -> _Document:
    """The schema of a text field: one that is not sent is absent, there is no null."""
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    kinds = [one for one in schema["anyOf"] if one != {"type": "null"}]
    return kept | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


INFER_EXTRA["parameters"] = query_parameters()

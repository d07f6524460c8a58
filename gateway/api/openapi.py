"""The OpenAPI document: what FastAPI derives from routes and models, with the texts and examples of openapi.json."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic.json_schema import models_json_schema

from gateway.api.schemas import BatchRequest, Envelope, InferOptions, InferRequest

_Document = dict[str, Any]
_TEXTS: _Document = json.loads(files("gateway.api").joinpath("openapi.json").read_text("utf-8"))
_REFERENCE = "#/components/schemas/{model}"

# For the document only, so that `/docs` can send a key: `ApiKeys` checks it.
_KEY_SCHEMES = [
    Depends(HTTPBearer(auto_error=False, description="An API key, if the server requires one.")),
    Depends(APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key in a header of its own.")),
]


def describe(operation_id: str) -> _Document:
    """The arguments of a route's decorator that describe the operation."""
    described: _Document = dict(_TEXTS["operations"][operation_id])
    errors = [str(status) for status in described.pop("errors", [])]
    described["responses"] = {status: _TEXTS["errors"][status] | {"model": Envelope} for status in errors} | (
        described.get("responses", {})
    )
    if "401" in errors:
        described["dependencies"] = _KEY_SCHEMES
    if operation_id == "infer":
        described["openapi_extra"] = described["openapi_extra"] | {"parameters": _query_parameters()}
    return described | {"operation_id": operation_id}


def install_openapi(app: FastAPI, max_batch_images: int) -> None:
    """Add the schemas of the bodies, which FastAPI does not parse, to the document of `app`."""

    def document() -> _Document:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=_TEXTS["tags"],
            )
            app.openapi_schema["components"]["schemas"] |= _body_schemas(max_batch_images)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI documents this


def _body_schemas(max_batch_images: int) -> _Document:
    _, generated = models_json_schema(
        [(model, "validation") for model in (InferRequest, BatchRequest)], ref_template=_REFERENCE
    )
    schemas: _Document = generated["$defs"]
    infer, batch = schemas["InferRequest"], schemas["BatchRequest"]
    own = {name: schema for name, schema in infer["properties"].items() if name != "logId"}
    schemas["BatchItem"] = infer | _TEXTS["schemas"]["BatchItem"] | {"properties": own}
    batch["properties"]["images"] |= {
        "items": {"anyOf": [{"type": "string"}, {"$ref": _REFERENCE.format(model="BatchItem")}]},
        "maxItems": max_batch_images,
    }
    options = {name: _not_null(infer["properties"][name]) for name in InferOptions.model_fields}
    for name in ("InferForm", "BatchForm"):
        form = _TEXTS["schemas"][name]
        schemas[name] = form | {"properties": form["properties"] | options}
    images = schemas["BatchForm"]["properties"]["image"]
    schemas["BatchForm"]["properties"]["image"] = images | {"maxItems": max_batch_images}
    return schemas


def _query_parameters() -> list[_Document]:
    """The options of a request whose body is an encoded image."""
    properties = InferRequest.model_json_schema(ref_template=_REFERENCE)["properties"]
    return [_query_parameter(name, _not_null(properties[name])) for name in InferOptions.model_fields]


def _query_parameter(name: str, schema: _Document) -> _Document:
    description = f"Only if the body is an encoded image. {schema.pop('description')}"
    is_json = name in ("threshold", "classes")
    content = {"content": {"application/json": {"schema": schema}}} if is_json else {"schema": schema}
    return {"name": name, "in": "query", "description": description, **content}


def _not_null(schema: Mapping[str, Any]) -> _Document:
    """The schema of an option as text, which can be absent but not null."""
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    kinds = [one for one in schema["anyOf"] if one != {"type": "null"}]
    return kept | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})

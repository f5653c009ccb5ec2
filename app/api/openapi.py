"""What OpenAPI cannot read off the code: the two forms of a body, and refusals."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .problems import MEDIA_TYPE
from .schemas import AdaptBody, PredictBody, ProblemAnswer

_REFERENCE = "#/components/schemas/"

_ADAPT_FORM = {
    "type": "object",
    "properties": {
        "initialization": {"type": "string"},
        "steps": {"type": "integer", "minimum": 0},
        "ttl_seconds": {"type": "number", "minimum": 1},
    },
    "additionalProperties": {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "images of the class that the field is named after",
    },
}
_PREDICT_FORM = {
    "type": "object",
    "required": ["session_id", "image"],
    "properties": {
        "session_id": {"type": "string"},
        "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "top_k": {"type": "integer", "minimum": 1},
    },
    "additionalProperties": False,
}


def _body(form: dict[str, Any], model: str) -> dict[str, Any]:
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": {"$ref": _REFERENCE + model}},
            },
        }
    }


ADAPT_BODY = _body(_ADAPT_FORM, AdaptBody.__name__)
PREDICT_BODY = _body(_PREDICT_FORM, PredictBody.__name__)


def refusals(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """Responses that carry problem details, for a route's description."""
    schema = {"$ref": _REFERENCE + ProblemAnswer.__name__}
    return {
        status: {"description": "Problem", "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install_openapi(app: FastAPI) -> None:
    """Describe the API with the models that no route declares by itself."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            known = schema.setdefault("components", {}).setdefault("schemas", {})
            for model in (AdaptBody, PredictBody, ProblemAnswer):
                described = model.model_json_schema(ref_template=_REFERENCE + "{model}")
                known.update(described.pop("$defs", {}))
                known[model.__name__] = described
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]

"""What OpenAPI cannot read off the code: the two forms of a body, and refusals."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from .content_type import JSON, MULTIPART, OCTETS
from .problems import MEDIA_TYPE
from .schema_bounds import EMPTY_TEXT, add_bounds
from .schemas import (
    FROM_ONE_SCHEMA,
    LABEL_SCHEMA,
    STEPS_SCHEMA,
    TTL_SCHEMA,
    AdaptBody,
    EvaluateBody,
    PredictBody,
    ProblemAnswer,
    ReportBody,
    SupportBody,
)
from .session_ids import PATTERN

_REFERENCE = "#/components/schemas/"

_SAMPLES = Path(__file__).resolve().parent.parent / "samples" / "omniglot"
_IMAGES = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
_TRUTH = {"type": "string", "enum": ["true", "false"]}


def or_empty(option: dict[str, Any]) -> dict[str, Any]:
    """An option in text, which a web page sends empty where nothing was entered."""
    return {"anyOf": [option, EMPTY_TEXT]}


def _labelled_form(**options: dict[str, Any]) -> dict[str, Any]:
    """A form whose file fields are named by the caller: each name is a label."""
    return {
        "type": "object",
        "description": "Every file field is an image, and its field's name is the label; a field "
        "may come many times. Text fields are options.",
        "properties": {name: or_empty(option) for name, option in options.items()},
        "propertyNames": LABEL_SCHEMA,
        "additionalProperties": {
            **_IMAGES,
            "description": "images of the class that the field is named after",
        },
    }


_ADAPT_FORM = _labelled_form(
    initialization={
        "type": "string",
        "description": "the name of one that is loaded, or `auto`: the images decide",
    },
    steps=STEPS_SCHEMA,
    ttl_seconds=TTL_SCHEMA,
    keep_support=_TRUTH,
    report=_TRUTH,
    views=FROM_ONE_SCHEMA,
)
_SUPPORT_FORM = _labelled_form(steps=STEPS_SCHEMA, report=_TRUTH)
_EVALUATE_FORM = _labelled_form()
_REPORT_FORM = {
    "type": "object",
    "properties": {"steps": or_empty(STEPS_SCHEMA), "embedding": or_empty(_TRUTH)},
    "additionalProperties": False,
}
_FILE = {"type": "string", "format": "binary"}
_RESTORE_FORM = {
    "type": "object",
    "required": ["session"],
    "properties": {"session": _FILE},
    "additionalProperties": False,
}
_PREDICT_FORM = {
    "type": "object",
    "required": ["session_id", "image"],
    "properties": {
        "session_id": {"type": "string", "pattern": PATTERN},
        "image": _IMAGES,
        "top_k": or_empty(FROM_ONE_SCHEMA),
    },
    "additionalProperties": False,
}


def _drawing(name: str) -> str:
    return base64.b64encode((_SAMPLES / name).read_bytes()).decode()


def _labelled(*names: str) -> list[dict[str, str]]:
    """Sample drawings, labelled by the alphabet that they are from."""
    return [{"label": name.split("_")[0].lower(), "image": _drawing(name)} for name in names]


_SESSION = "SESSION_ID"
_ADAPT_EXAMPLE = {
    "support": _labelled(
        "Tengwar_01/01.png", "Tengwar_01/02.png", "Tibetan_01/01.png", "Tibetan_01/02.png"
    ),
    "steps": 5,
    "report": True,
}
_PREDICT_EXAMPLE = {
    "session_id": _SESSION,
    "images": [_drawing("Tengwar_01/09.png"), _drawing("Tibetan_01/15.png")],
    "top_k": 1,
}
_SUPPORT_EXAMPLE = {"support": _labelled("Tengwar_01/03.png", "Keble_01/01.png")}
_EVALUATE_EXAMPLE = {"queries": _labelled("Tengwar_01/10.png", "Tibetan_01/11.png")}


def _body(
    form: dict[str, Any], model: type[BaseModel], example: object, *, required: bool = True
) -> dict[str, Any]:
    reference = {"$ref": _REFERENCE + model.__name__}
    return _content(
        {
            MULTIPART: {"schema": form},
            JSON: {"schema": reference, "example": example},
        },
        required=required,
    )


def _content(content: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {
        "security": [{"HTTPBearer": []}],
        "requestBody": {"required": required, "content": content},
    }


ADAPT_BODY = _body(_ADAPT_FORM, AdaptBody, _ADAPT_EXAMPLE)
PREDICT_BODY = _body(_PREDICT_FORM, PredictBody, _PREDICT_EXAMPLE)
SUPPORT_BODY = _body(_SUPPORT_FORM, SupportBody, _SUPPORT_EXAMPLE)
EVALUATE_BODY = _body(_EVALUATE_FORM, EvaluateBody, _EVALUATE_EXAMPLE)
REPORT_BODY = _body(_REPORT_FORM, ReportBody, {"embedding": True}, required=False)
RESTORE_BODY = _content(
    {OCTETS: {"schema": _FILE}, MULTIPART: {"schema": _RESTORE_FORM}}, required=True
)
FILE_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {OCTETS: {"schema": _FILE}}}
}


def refusals(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """Responses that carry problem details, for a route's description."""
    schema = {"$ref": _REFERENCE + ProblemAnswer.__name__}
    return {
        status: {"description": "Problem", "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install_openapi(app: FastAPI) -> None:
    """Describe the API with the models that no route declares by itself.

    What depends on settings and on what is loaded is in it once the server has started.
    """

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            known = schema.setdefault("components", {}).setdefault("schemas", {})
            for model in (
                AdaptBody,
                PredictBody,
                SupportBody,
                EvaluateBody,
                ReportBody,
                ProblemAnswer,
            ):
                described = model.model_json_schema(ref_template=_REFERENCE + "{model}")
                known.update(described.pop("$defs", {}))
                known[model.__name__] = described
            state = getattr(app.state, "inkling", None)
            if state is None:
                return schema
            add_bounds(schema, state.service)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]

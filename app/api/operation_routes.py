"""Routes for operators: what is loaded, whether the server works, what it has done."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import PlainTextResponse
from pydantic import WithJsonSchema

from . import responses
from .metrics import CONTENT_TYPE, metrics_text
from .openapi import refusals
from .problems import ALL_KINDS
from .query import StrictRoute
from .schemas import InitializationList, ProblemAnswer, Status
from .state import State, Tenant

router = APIRouter(route_class=StrictRoute)


@router.get(
    "/initializations",
    summary="What is loaded",
    tags=["initializations"],
    responses=refusals(401),
)
def list_initializations(state: State, _tenant: Tenant) -> InitializationList:
    """The loaded initializations: data, measured accuracy, limits, identity, licence."""
    return responses.initialization_list(state.service, state.body_limits.max_bytes)


@router.get("/livez", summary="Does the process answer", tags=["operation"])
async def alive() -> Status:
    """Answers as long as the process does."""
    return Status(status="alive")


@router.get("/readyz", summary="Can work be taken on", tags=["operation"], responses=refusals(503))
def ready(state: State) -> Status:
    """Answers once every initialization is loaded and warm, while sessions can be reached."""
    state.service.sessions.check()
    return Status(status="ready")


@router.get(
    "/metrics",
    summary="What the process has done",
    tags=["operation"],
    response_class=PlainTextResponse,
    responses=refusals(401, 503),
)
def metrics(state: State, _tenant: Tenant) -> Response:
    """Counts and sizes in the text format of Prometheus; nothing of any one session."""
    return Response(metrics_text(state.watched), media_type=CONTENT_TYPE)


KindName = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(ALL_KINDS)})]


@router.get(
    "/problems/{name}",
    summary="What a problem type means",
    tags=["operation"],
    response_model_exclude_none=True,
    responses=refusals(404),
)
async def explain_problem(name: KindName) -> ProblemAnswer:
    """Explains the `type` of a problem."""
    if name not in ALL_KINDS:
        raise HTTPException(404)
    kind = ALL_KINDS[name]
    return ProblemAnswer(
        type=f"/problems/{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=kind.explanation,
    )

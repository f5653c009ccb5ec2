"""Routes on sessions themselves: all of them, one, and its end."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import WithJsonSchema

from ..errors import InvalidInput, Problem
from ..service import manage_sessions
from . import responses
from .headers import entity_tag, next_link
from .openapi import refusals
from .query import StrictRoute
from .schemas import SessionInfo, SessionList
from .session_ids import PathId, session_id_of
from .state import State, Tenant

DEFAULT_PAGE, MOST_LISTED = 50, 500
LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": DEFAULT_PAGE}
CURSOR_PATTERN = "^[A-Za-z0-9_-]+={0,2}$"
"""What `next` looks like, which is base64."""

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@router.get("/sessions", summary="List the caller's sessions", responses=refusals(401, 422, 503))
def list_sessions(
    request: Request,
    response: Response,
    state: State,
    tenant: Tenant,
    limit: Annotated[str | None, WithJsonSchema(LIMIT)] = None,
    after: Annotated[
        str | None, WithJsonSchema({"type": "string", "pattern": CURSOR_PATTERN})
    ] = None,
) -> SessionList:
    """The newest first, `limit` at a time (1 to 500); `after` is the `next` of the page before."""
    most = DEFAULT_PAGE if limit is None else _limit(limit)
    page = manage_sessions.list_sessions(state.service, tenant=tenant, limit=most, after=after)
    if page.next is not None:
        response.headers["Link"] = next_link(request, most, page.next)
    return responses.session_list(page, state.service.registry)


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MOST_LISTED:
        message = f"expected a whole number from 1 to {MOST_LISTED}, got {text[:50]!r}"
        raise InvalidInput([Problem("out_of_range", message, "limit")])
    return int(text)


@router.get(
    "/sessions/{session_id}",
    summary="Look at a session",
    responses=refusals(401, 404, 409, 422, 503),
)
def read_session(
    session_id: PathId, response: Response, state: State, tenant: Tenant
) -> SessionInfo:
    """Looking at a session does not extend it."""
    session = manage_sessions.read_session(state.service, session_id_of(session_id), tenant=tenant)
    response.headers["ETag"] = entity_tag(session.version)
    return responses.session_info(session, state.service.registry)


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    summary="Delete a session and all it holds",
    responses=refusals(401, 404, 422, 503),
)
def delete_session(session_id: PathId, state: State, tenant: Tenant) -> None:
    """The session's tensors and labels are forgotten at once, and gone from the disk soon after."""
    manage_sessions.delete_session(state.service, session_id_of(session_id), tenant=tenant)

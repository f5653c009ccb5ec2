"""Routes on sessions themselves: all of them, one, and its end."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response

from ..errors import InvalidInput, Problem
from ..service import manage_sessions
from . import responses
from .headers import entity_tag, next_link
from .openapi import refusals
from .schemas import SessionInfo, SessionList
from .state import State, Tenant

DEFAULT_PAGE, MOST_LISTED = "50", 500

router = APIRouter(tags=["sessions"])


@router.get("/sessions", summary="List the caller's sessions", responses=refusals(401, 422, 503))
def list_sessions(
    request: Request,
    response: Response,
    state: State,
    tenant: Tenant,
    limit: str = DEFAULT_PAGE,
    after: str | None = None,
) -> SessionList:
    """The newest first, `limit` at a time (1 to 500); `after` is the `next` of the page before."""
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= MOST_LISTED:
        message = f"expected a whole number from 1 to {MOST_LISTED}, got {limit[:50]!r}"
        raise InvalidInput([Problem("out_of_range", message, "limit")])
    page = manage_sessions.list_sessions(
        state.service, tenant=tenant, limit=int(limit), after=after
    )
    if page.next is not None:
        response.headers["Link"] = next_link(request, int(limit), page.next)
    return responses.session_list(page, state.service.registry)


@router.get(
    "/sessions/{session_id}", summary="Look at a session", responses=refusals(401, 404, 409, 503)
)
def read_session(session_id: str, response: Response, state: State, tenant: Tenant) -> SessionInfo:
    """Looking at a session does not extend it."""
    session = manage_sessions.read_session(state.service, session_id, tenant=tenant)
    response.headers["ETag"] = entity_tag(session.version)
    return responses.session_info(session, state.service.registry)


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    summary="Delete a session and all it holds",
    responses=refusals(401, 404, 503),
)
def delete_session(session_id: str, state: State, tenant: Tenant) -> None:
    """The session's tensors and labels are forgotten at once, and gone from the disk soon after."""
    manage_sessions.delete_session(state.service, session_id, tenant=tenant)

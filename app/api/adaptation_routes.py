"""Routes that adapt: a new session, images added to one, and an image taken out of one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import WithJsonSchema

from ..service.adapt import adapt
from ..service.add_images import add_images
from ..service.remove_image import remove_image
from ..service.values import Adapted, Keyed, Replayed
from . import responses
from .headers import if_match
from .openapi import ADAPT_BODY, SUPPORT_BODY, or_empty, refusals
from .positions import PathPosition, position_of
from .query import StrictRoute
from .repeated import keyed_call, replayed_answer, session_answer
from .requests import read_adapt, read_removal, read_support
from .schemas import STEPS_SCHEMA, AdaptAnswer
from .session_ids import PathId, session_id_of
from .state import AppState, Tenant, entered

TRUTH_SCHEMA = {"type": "string", "enum": ["true", "false"]}

router = APIRouter(route_class=StrictRoute)


@router.post(
    "/adapt",
    status_code=201,
    summary="Make a session from a support set",
    tags=["few-shot"],
    openapi_extra=ADAPT_BODY,
    response_model=AdaptAnswer,
    responses=refusals(400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 504),
)
async def adapt_to_support(request: Request) -> Response:
    """Run the inner loop on labelled images; all of them are used, or none.

    In a form every **file field is an image and its field's name is the label**, and text
    fields are options, so that a class may be called `steps`.

    With a header `Idempotency-Key` the call may be repeated when its answer was lost: within 24
    hours, the same key and content get the same answer and make no second session.
    """
    state, tenant = entered(request)
    keyed = _keyed(request, state, "POST /adapt", 201)
    call = await read_adapt(request, state.body_limits, tenant, keyed)
    adapted = await adapt(state.service, call)
    return _response(request, state, adapted, 201)


@router.post(
    "/sessions/{session_id}/support",
    summary="Add images to a session",
    tags=["sessions"],
    openapi_extra=SUPPORT_BODY,
    response_model=AdaptAnswer,
    responses=refusals(400, 401, 404, 408, 409, 412, 413, 415, 422, 503, 504),
)
async def add_support(session_id: PathId, request: Request) -> Response:
    """Adapt again, from the initialization, on the session's support set and the added images.

    The images may be of new classes. The session is then as if all of them had been sent at
    once; when the call fails it stays as it was. Calls at the same time go one after the other. A
    header `If-Match` with an `ETag` refuses the call when the session has changed since;
    `Idempotency-Key` works as for `/adapt`.
    """
    state, tenant = entered(request)
    known_id = session_id_of(session_id)
    keyed = _keyed(request, state, f"POST /sessions/{known_id}/support", 200)
    versions = if_match(request)
    call = await read_support(request, state.body_limits, tenant, keyed)
    adapted = await add_images(state.service, known_id, call, if_match=versions)
    return _response(request, state, adapted, 200)


@router.delete(
    "/sessions/{session_id}/support/{position}",
    summary="Take an image out of a session",
    tags=["sessions"],
    response_model=AdaptAnswer,
    responses=refusals(401, 404, 409, 412, 422, 503, 504),
)
async def remove_support(
    session_id: PathId,
    position: PathPosition,
    request: Request,
    _tenant: Tenant,
    steps: Annotated[str | None, WithJsonSchema(or_empty(STEPS_SCHEMA))] = None,
    report: Annotated[str | None, WithJsonSchema(or_empty(TRUTH_SCHEMA))] = None,
) -> Response:
    """Adapt again, from the initialization, on the session's support set without one image.

    `position` counts its images from 0 in the order sent, as reports do; those behind it move
    down by one. A class without a further image is gone. `If-Match` and `Idempotency-Key` work as
    for additions; with one of them no call that is sent again takes out a second image.
    """
    state, tenant = entered(request)
    known_id, place = session_id_of(session_id), position_of(position)
    keyed = _keyed(request, state, f"DELETE /sessions/{known_id}/support/{place}", 200)
    versions = if_match(request)
    call = read_removal({"steps": steps, "report": report}, tenant, keyed)
    adapted = await remove_image(state.service, known_id, place, call, if_match=versions)
    return _response(request, state, adapted, 200)


def _keyed(request: Request, state: AppState, route: str, status: int) -> Keyed[Adapted] | None:
    return keyed_call(request, route, status, lambda adapted: _content(adapted, state))


def _content(adapted: Adapted, state: AppState) -> bytes:
    return responses.adapt_answer(adapted, state.service).model_dump_json().encode()


def _response(
    request: Request, state: AppState, adapted: Adapted | Replayed, status: int
) -> Response:
    """The answer to an adaptation, or that of an earlier call with the same key once more."""
    if isinstance(adapted, Replayed):
        return replayed_answer(request, adapted)
    content, session = adapted.answer or _content(adapted, state), adapted.session
    answer = session_answer(request, content, session.id, session.version, status)
    answer.headers["Server-Timing"] = responses.server_timing(adapted.timing)
    request.state.timing = adapted.timing
    return answer

"""Routes by which sessions leave a server as files, and come in."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, Request, Response
from pydantic import WithJsonSchema

from ..errors import InvalidInput, Problem
from ..service.export import export
from ..service.restore import restore
from ..service.values import ExportCall, ExportFormat, Replayed, Restored
from . import responses
from .content_type import OCTETS
from .headers import entity_tag
from .openapi import FILE_ANSWER, RESTORE_BODY, or_empty, refusals
from .query import StrictRoute
from .repeated import keyed_call, replayed_answer, session_answer
from .requests import read_restore
from .schemas import TTL_SCHEMA, RestoredAnswer
from .session_ids import PathId, session_id_of
from .state import State, Tenant, entered

FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
DEFAULT_FORMAT: ExportFormat = "safetensors"

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@router.get(
    "/sessions/{session_id}/export",
    summary="Take a session along as a file",
    response_class=Response,
    responses={**FILE_ANSWER, **refusals(401, 404, 409, 422, 503, 504)},
)
async def export_session(
    session_id: PathId,
    state: State,
    tenant: Tenant,
    format: Annotated[  # noqa: A002
        str | None, WithJsonSchema(or_empty({"type": "string", "enum": list(FORMATS)}))
    ] = None,
) -> Response:
    """Write a session as a file.

    `safetensors` holds what the session has beside its initialization: `POST /sessions` makes a
    session of it, on any server that has loaded the same one. `onnx` holds all that classifies,
    from uint8 RGBA of any size to probabilities, for ONNX Runtime anywhere.
    """
    wanted = next((known for known in FORMATS if known == (format or DEFAULT_FORMAT)), None)
    if wanted is None:
        message = f"expected {' or '.join(FORMATS)}, got {str(format)[:50]!r}"
        raise InvalidInput([Problem("unknown_format", message, "format")])
    call = ExportCall(session_id_of(session_id), wanted, tenant)
    exported = await export(state.service, call)
    headers = {
        "Content-Disposition": f'attachment; filename="{exported.filename}"',
        "ETag": entity_tag(exported.session.version),
    }
    return Response(exported.content, headers=headers, media_type=OCTETS)


@router.post(
    "/sessions",
    status_code=201,
    summary="Make a session of a file",
    openapi_extra=RESTORE_BODY,
    response_model=RestoredAnswer,
    responses=refusals(400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 504),
)
async def restore_session(
    request: Request,
    ttl_seconds: Annotated[str | None, WithJsonSchema(or_empty(TTL_SCHEMA))] = None,
) -> Response:
    """Make a session of the safetensors file that an export gave, on this or another server.

    The file is the body as it is (`application/octet-stream`), or the file field `session` of a
    form. `Idempotency-Key` works as for `/adapt`.
    """
    state, tenant = entered(request)

    def content(restored: Restored) -> bytes:
        answer = responses.restored_answer(restored, state.service.registry)
        return answer.model_dump_json().encode()

    keyed = keyed_call(request, "POST /sessions", 201, content)
    call = await read_restore(request, state.body_limits, tenant, keyed, ttl_seconds)
    restored = await restore(state.service, call)
    if isinstance(restored, Replayed):
        return replayed_answer(request, restored)
    session = restored.session
    told = restored.answer or content(restored)
    return session_answer(request, told, session.id, session.version, 201)

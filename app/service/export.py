"""A session as a file that can be taken along."""

from __future__ import annotations

import asyncio

from ..engine.handle import Handle
from ..sessions.portable import to_file
from ..sessions.session import Session
from .deadline import within
from .service import Service
from .values import ExportCall, Exported


async def export(service: Service, call: ExportCall) -> Exported:
    """Write a session as a file; this extends it.

    Raises SessionNotFound, InitializationNotLoaded, Unavailable and DeadlineExceeded.
    """
    async with within(service.limits.deadline_seconds, "exporting"):
        session = await service.storage.touch(call.session_id, call.tenant)
        handle = service.registry.of(session)
        content = await _as_safetensors(service, session, handle)
    return Exported(session, content, f"inkling-session.{call.format}")


async def _as_safetensors(service: Service, session: Session, handle: Handle) -> bytes:
    support = None
    if service.limits.may_keep_support:
        support = await service.storage.support_of(session)
    functional = handle.checkpoint.config.functional()
    return await asyncio.to_thread(to_file, session, support, handle.name, functional)

"""A session as a file that can be taken along."""

from __future__ import annotations

import asyncio

from ..engine.handle import Handle
from ..engine.work import Queries
from ..export.golden import Golden, samples_of
from ..export.model import onnx_model
from ..sessions.portable import to_file
from ..sessions.session import Session
from .deadline import within
from .service import Service
from .values import ExportCall, Exported


async def export(service: Service, call: ExportCall) -> Exported:
    """Write a session as a file; this extends it.

    Raises SessionNotFound, InitializationNotLoaded, NotExportable, Unavailable and
    DeadlineExceeded.
    """
    async with within(service.limits.deadline_seconds, "exporting"):
        session = await service.storage.touch(call.session_id, call.tenant)
        handle = service.registry.of(session)
        writer = _as_onnx if call.format == "onnx" else _as_safetensors
        content = await writer(service, session, handle)
    return Exported(session, content, f"inkling-session.{call.format}")


async def _as_safetensors(service: Service, session: Session, handle: Handle) -> bytes:
    support = None
    if service.limits.may_keep_support:
        support = await service.storage.support_of(session)
    functional = handle.checkpoint.config.functional()
    return await asyncio.to_thread(to_file, session, support, handle.name, functional)


async def _as_onnx(service: Service, session: Session, handle: Handle) -> bytes:
    samples = samples_of(handle.preprocessing_name)
    queries = Queries(
        list(samples.values()), session.adapted, session.image_counts, session.n_views
    )
    job = service.engine.predict(handle, queries, session.tenant)
    classified = await asyncio.wrap_future(job)
    golden = [
        Golden(name, content, probabilities, apart)
        for (name, content), (probabilities, apart) in zip(
            samples.items(), classified.scores, strict=True
        )
    ]

    def write() -> bytes:
        return onnx_model(
            handle.checkpoint,
            session.adapted,
            session.labels,
            session.image_counts,
            session.n_views,
            golden,
        )

    # A file is several copies of all weights while it is written: one at a time.
    return await asyncio.get_running_loop().run_in_executor(service.exporter, write)

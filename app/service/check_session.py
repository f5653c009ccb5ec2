"""The report on the support set of a session, and the images of it laid out in a plane."""

from __future__ import annotations

import asyncio
import time

from ..engine.work import Layout, Timing
from ..errors import InvalidInput
from .copies import pictures_among
from .deadline import within
from .kept_support import kept_support
from .report import Material, report_on
from .service import Service
from .validation import loop_problems
from .values import AdaptOptions, CheckCall, Checked


async def check_session(service: Service, call: CheckCall) -> Checked:
    """Check a session's support set against itself; this extends the session.

    Raises SessionNotFound, InitializationNotLoaded, SupportNotKept, InvalidInput, SessionChanged,
    Unavailable, DeadlineExceeded and InnerLoopDiverged.
    """
    began = time.perf_counter()
    session = await service.storage.touch(call.session_id, call.tenant)
    handle = service.registry.of(session)
    problems = [*call.problems, *loop_problems(AdaptOptions(steps=call.steps), handle)]
    if problems:
        raise InvalidInput(problems)
    kept = await kept_support(service, session)
    stored_seconds = time.perf_counter() - began
    pictures = await pictures_among(kept.fingerprints, kept.images)
    steps = session.steps if call.steps is None else call.steps
    material = Material(kept.followed_by(), kept.images, pictures, steps)
    with service.admission.images(call.tenant, len(kept.labels)):
        report = await report_on(service, handle, material, call.tenant)
        places = None
        if call.embedding:
            async with within(service.limits.deadline_seconds, "laying out the support set"):
                job = service.engine.lay_out(
                    handle, Layout(kept.images, session.adapted), call.tenant
                )
                places = tuple((x, y) for x, y in (await asyncio.wrap_future(job)).tolist())
    worked_seconds = time.perf_counter() - began - stored_seconds
    return Checked(
        session=session,
        handle=handle,
        report=report,
        labels=tuple(kept.labels),
        places=places,
        timing=Timing(compute=worked_seconds, store=stored_seconds),
    )

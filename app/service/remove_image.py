"""Taking an image out of a session that keeps its support set."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from ..errors import InvalidInput, SupportImageNotFound
from .adaptation import reviewed, run_inner_loop, stored
from .deadline import within
from .idempotency import digest_of, repeatable
from .kept_support import as_adapted, kept_support, next_version, version_meant
from .service import Service
from .validation import class_problems, loop_problems
from .values import AdaptCall, Adapted, Replayed


async def remove_image(
    service: Service,
    session_id: str,
    position: int,
    call: AdaptCall,
    *,
    if_match: frozenset[str] | None = None,
) -> Adapted | Replayed:
    """Adapt a session again, from the initialization, to all its images but one.

    ``position`` counts them from 0 in the order sent. A class without a further image is gone too.
    ``call`` brings no images. A call that fails leaves the session as it was.

    Raises as `add_images` does, SupportImageNotFound, and InvalidInput where too few classes would
    be left.
    """
    digest = partial(digest_of, (), (), call.options)
    async with AsyncExitStack() as held:
        async with within(service.limits.deadline_seconds, "adapting") as deadline:
            key = await held.enter_async_context(
                repeatable(service, call.keyed, call.tenant, call.problems, digest)
            )
            await held.enter_async_context(service.locks.of(session_id, call.tenant))
            if key is not None and key.earlier is not None:
                return key.earlier
            session = await version_meant(service, session_id, call.tenant, if_match)
            handle = service.registry.of(session)
            kept = await kept_support(service, session)
            if position >= len(kept.labels):
                raise SupportImageNotFound(position, len(kept.labels))
            support = kept.without(position)
            problems = [
                *call.problems,
                *loop_problems(call.options, handle),
                *class_problems(support.labels, service.limits),
            ]
            if problems:
                raise InvalidInput(problems)
            call = as_adapted(session, call)
            adaptation = await run_inner_loop(service, handle, support, problems, call)
        learned = await reviewed(service, handle, support, adaptation, call, deadline)
        smaller = next_version(session, learned, call, service.clock())
        return await stored(service, handle, smaller, learned, key)

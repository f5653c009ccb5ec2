"""Adding images, of new classes too, to a session that keeps its support set."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from .adaptation import reviewed, run_inner_loop, stored
from .deadline import within
from .idempotency import digest_of, repeatable
from .kept_support import as_adapted, kept_support, next_version, version_meant
from .service import Service
from .validation import clean_labels, loop_problems, option_problems, support_problems
from .values import AdaptCall, Adapted, Replayed


async def add_images(
    service: Service, session_id: str, call: AdaptCall, *, if_match: frozenset[str] | None = None
) -> Adapted | Replayed:
    """Adapt a session again, from the initialization, to the images it has and those of a call.

    A call that fails leaves the session as it was, and calls at the same time go one after the
    other, so that none is lost. ``if_match`` are the versions that the caller means.

    Raises as `adapt` does, and SessionNotFound, InitializationNotLoaded, SupportNotKept,
    PreconditionFailed and SessionChanged.
    """
    limits = service.limits
    labels, label_problems = clean_labels(call.images)
    problems = [*call.problems, *label_problems]
    digest = partial(digest_of, call.images, labels, call.options)
    async with AsyncExitStack() as held:
        held.enter_context(service.admission.images(call.tenant, len(call.images)))
        async with within(limits.deadline_seconds, "adapting") as deadline:
            key = await held.enter_async_context(
                repeatable(service, call.keyed, call.tenant, problems, digest)
            )
            await held.enter_async_context(service.locks.of(session_id, call.tenant))
            if key is not None and key.earlier is not None:
                return key.earlier
            session = await version_meant(service, session_id, call.tenant, if_match)
            handle = service.registry.of(session)
            kept = await kept_support(service, session)
            problems += loop_problems(call.options, handle)
            problems += option_problems(call.options, limits)
            problems += support_problems(len(call.images), labels, kept.labels, limits)
            call = as_adapted(session, call)
            support = kept.followed_by(labels, call.images)
            adaptation = await run_inner_loop(service, handle, support, problems, call)
        learned = await reviewed(service, handle, support, adaptation, call, deadline)
        grown = next_version(session, learned, call, service.clock())
        return await stored(service, handle, grown, learned, key)

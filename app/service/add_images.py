"""Adding images, of new classes too, to a session that keeps its support set."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace

from ..errors import PreconditionFailed, SupportNotKept
from ..sessions.session import Session
from .adaptation import reviewed, run_inner_loop, stored
from .deadline import within
from .idempotency import repeatable
from .labelled_support import LabelledSupport
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
    async with AsyncExitStack() as held:
        held.enter_context(service.admission.images(call.tenant, len(call.images)))
        async with within(limits.deadline_seconds, "adapting") as deadline:
            key = await held.enter_async_context(repeatable(service, call, labels, problems))
            await held.enter_async_context(service.locks.of(session_id, call.tenant))
            if key is not None and key.earlier is not None:
                return key.earlier
            session = await service.storage.read(session_id, call.tenant)
            if if_match is not None and str(session.version) not in if_match:
                raise PreconditionFailed(sorted(if_match), session.version)
            handle = service.registry.of(session)
            kept = await _kept_support(service, session)
            problems += loop_problems(call.options, handle)
            problems += option_problems(call.options, limits)
            problems += support_problems(len(call.images), labels, kept.labels, limits)
            steps = session.steps if call.options.steps is None else call.options.steps
            options = replace(call.options, steps=steps, views=session.n_views)
            call = replace(call, options=options)
            support = replace(kept, labels=[*kept.labels, *labels], sent=call.images)
            adaptation = await run_inner_loop(service, handle, support, problems, call)
        learned = await reviewed(service, handle, support, adaptation, call, deadline)
        grown = replace(
            session,
            labels=support.names,
            image_counts=support.image_counts(),
            steps=steps,
            adapted=learned.adaptation.adapted,
            version=session.version + 1,
            expires_at=session.used_at(service.clock()),
        )
        return await stored(service, handle, grown, learned, key)


async def _kept_support(service: Service, session: Session) -> LabelledSupport:
    """The support set of a session, none of it just sent. Raises SupportNotKept."""
    kept = await service.storage.support_of(session)
    if kept is None or not service.limits.may_keep_support:
        raise SupportNotKept
    labels = [session.labels[position] for position in kept.labels.tolist()]
    return LabelledSupport(labels, (), kept.images, kept.fingerprints)

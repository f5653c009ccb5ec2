"""Making a session from a support set."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from ..engine.handle import Handle
from ..engine.work import Adaptation
from ..errors import Problem
from ..sessions.session import Session, new_session_id
from .adaptation import Learned, reviewed, run_inner_loop, stored
from .choice import choose
from .deadline import within
from .idempotency import digest_of, repeatable
from .labelled_support import LabelledSupport
from .service import Service
from .validation import clean_labels, loop_problems, option_problems, support_problems
from .values import AdaptCall, Adapted, Choice, Replayed


async def adapt(service: Service, call: AdaptCall) -> Adapted | Replayed:
    """Make a session from a support set: all of it, or nothing and a list of all problems.

    Raises InvalidInput, InnerLoopDiverged, Unavailable, DeadlineExceeded, and for keyed calls
    IdempotencyKeyInUse and IdempotencyKeyReused.
    """
    limits = service.limits
    named = service.registry.chosen(call.options.initialization)
    labels, label_problems = clean_labels(call.images)
    problems = [
        *call.problems,
        *([] if named is None else loop_problems(call.options, named)),
        *option_problems(call.options, limits),
        *label_problems,
        *support_problems(len(call.images), labels, (), limits),
    ]
    digest = partial(digest_of, call.images, labels, call.options)
    async with AsyncExitStack() as held:
        held.enter_context(service.admission.images(call.tenant, len(call.images)))
        async with within(limits.deadline_seconds, "adapting") as deadline:
            key = await held.enter_async_context(
                repeatable(service, call.keyed, call.tenant, problems, digest)
            )
            if key is not None and key.earlier is not None:
                return key.earlier
            support = LabelledSupport(labels, call.images)
            if named is None:
                handle, choice, adaptation = await _adapted_to_chosen(
                    service, call, support, problems
                )
            else:
                handle, choice = named, None
                adaptation = await run_inner_loop(service, named, support, problems, call)
        learned = await reviewed(service, handle, support, adaptation, call, deadline)
        learned = replace(learned, choice=choice)
        session = _session(service, handle, call, learned)
        return await stored(service, handle, session, learned, key)


async def _adapted_to_chosen(
    service: Service, call: AdaptCall, support: LabelledSupport, problems: Sequence[Problem]
) -> tuple[Handle, Choice, Adaptation]:
    """Have the images decide for an initialization, and adapt from it."""
    chosen = await choose(service, support.sent, call.tenant)
    handle = chosen.choice.handle
    problems = [*problems, *loop_problems(call.options, handle)]
    adaptation = await run_inner_loop(service, handle, support, problems, call, chosen.pixels)
    timing = chosen.timing.plus(adaptation.timing)
    return handle, chosen.choice, replace(adaptation, timing=timing)


def _session(service: Service, handle: Handle, call: AdaptCall, learned: Learned) -> Session:
    now, limits, options = service.clock(), service.limits, call.options
    ttl = limits.default_ttl_seconds if options.ttl_seconds is None else options.ttl_seconds
    return Session(
        id=new_session_id(),
        tenant=call.tenant,
        identity=handle.identity,
        labels=learned.support.names,
        image_counts=learned.support.image_counts(),
        steps=handle.steps if options.steps is None else options.steps,
        version=1,
        keeps_support=limits.may_keep_support and options.keep_support is not False,
        adapted=learned.adaptation.adapted,
        created_at=now,
        ttl_seconds=ttl,
        expires_at=now + ttl,
        ends_at=now + max(ttl, limits.max_lifetime_seconds),
        n_views=handle.n_views if options.views is None else options.views,
    )

"""What making a session and adding to one share: the inner loop, and storing what it made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..engine.handle import Handle
from ..engine.work import Adaptation, Images, SupportSet, Timing
from ..errors import InvalidInput, Problem
from ..sessions.session import KeptSupport, Session
from .copies import pictures_among
from .decoding import Pixels, result_of
from .idempotency import Repeatable
from .labelled_support import LabelledSupport
from .notices import copies, support_notices
from .report import Material, report_if_possible
from .service import Service
from .values import AdaptCall, Adapted, Choice, Notice, Report


@dataclass(frozen=True)
class Learned:
    """What adapting to a support set came to, and what a caller should know of it."""

    support: LabelledSupport
    adaptation: Adaptation
    warnings: tuple[Notice, ...]
    report: Report | None
    choice: Choice | None = None


async def run_inner_loop(
    service: Service,
    handle: Handle,
    support: LabelledSupport,
    problems: Sequence[Problem],
    call: AdaptCall,
    known: Pixels | None = None,
) -> Adaptation:
    """Decode the images that were sent, but for ``known`` ones, and adapt to all of a support set.

    Raises InvalidInput with ``problems`` and every bad image, InnerLoopDiverged and Unavailable.
    """
    images: Images
    if support.sent:
        images, decoding = await service.decoding.of(call.tenant).decode(
            support.sent, handle.preprocessing, problems, known, fingerprinting=True
        )
    elif problems:
        raise InvalidInput(problems)
    else:
        images, decoding = handle.no_images, Timing()
    views, steps = call.options.views, call.options.steps
    work = SupportSet(images, support.positions, len(support.names), support.kept, views)
    job = service.engine.adapt(handle, work, steps, call.tenant)
    adaptation = await result_of(job, support.sent)
    return replace(adaptation, timing=decoding.plus(adaptation.timing))


async def reviewed(
    service: Service,
    handle: Handle,
    support: LabelledSupport,
    adaptation: Adaptation,
    call: AdaptCall,
    deadline: float,
) -> Learned:
    """With what a caller should know, and a report where one is asked for.

    The former has until ``deadline``, the latter a time of its own.
    """
    kept = support.kept_with(adaptation.kept)
    pictures = await pictures_among(support.fingerprints_with(adaptation.fingerprints), kept)
    notices = (
        *copies(support, pictures),
        *await support_notices(service, handle, support, adaptation, call.tenant, deadline),
    )
    if not call.options.report:
        return Learned(support, adaptation, notices, None)
    material = Material(support, kept, pictures, call.options.steps)
    report, unfinished = await report_if_possible(service, handle, material, call.tenant)
    return Learned(support, adaptation, (*notices, *unfinished), report)


async def stored(
    service: Service,
    handle: Handle,
    session: Session,
    learned: Learned,
    repeatable: Repeatable | None,
) -> Adapted:
    """Keep a session, its support set and, of a keyed call, the answer; all or nothing.

    Raises Unavailable, TenantLimit, SessionChanged and SessionNotFound.
    """
    adaptation, support = learned.adaptation, learned.support
    adapted = Adapted(
        session,
        handle,
        adaptation.losses,
        adaptation.support_accuracy,
        learned.warnings,
        learned.report,
        adaptation.timing,
        learned.choice,
    )
    kept = None
    if session.keeps_support:
        kept = KeptSupport(
            support.kept_with(adaptation.kept),
            support.positions,
            support.fingerprints_with(adaptation.fingerprints),
        )
    answer = None
    if repeatable is not None:
        # Written before it is stored, so that the first answer and its repetitions are the same.
        adapted = replace(adapted, answer=repeatable.keyed.write(adapted))
        answer = repeatable.answer(session.id, adapted.answer or b"", service.clock())
    seconds = await service.storage.write(session, kept, answer)
    return replace(adapted, timing=replace(adapted.timing, store=seconds))

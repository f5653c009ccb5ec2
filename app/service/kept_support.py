"""What a session keeps of its support set, and adapting it again to what becomes of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import PreconditionFailed, SupportNotKept
from ..sessions.session import Session
from .adaptation import Learned
from .labelled_support import LabelledSupport
from .service import Service
from .values import AdaptCall, SentImage


async def version_meant(
    service: Service, session_id: str, tenant: str, if_match: frozenset[str] | None
) -> Session:
    """A session, if it is at one of the versions that its caller means.

    Raises SessionNotFound, PreconditionFailed and Unavailable.
    """
    session = await service.storage.read(session_id, tenant)
    if if_match is not None and str(session.version) not in if_match:
        raise PreconditionFailed(sorted(if_match), session.version)
    return session


@dataclass(frozen=True)
class Kept:
    """The support set of a session: labels, and what was kept of the images in their order.

    ``images`` and ``fingerprints`` are those of `KeptSupport`.
    """

    labels: Sequence[str]
    images: torch.Tensor
    fingerprints: torch.Tensor

    def followed_by(
        self, labels: Sequence[str] = (), sent: Sequence[SentImage] = ()
    ) -> LabelledSupport:
        """All of it, and images that were just sent behind it."""
        return LabelledSupport([*self.labels, *labels], sent, self.images, self.fingerprints)

    def without(self, position: int) -> LabelledSupport:
        """All of it but one image."""
        others = [place for place in range(len(self.labels)) if place != position]
        labels = [self.labels[place] for place in others]
        return LabelledSupport(labels, (), self.images[others], self.fingerprints[others])


async def kept_support(service: Service, session: Session) -> Kept:
    """The support set of a session. Raises SupportNotKept, SessionChanged and Unavailable."""
    kept = await service.storage.support_of(session)
    if kept is None or not service.limits.may_keep_support:
        raise SupportNotKept
    labels = [session.labels[position] for position in kept.labels.tolist()]
    return Kept(labels, kept.images, kept.fingerprints)


def as_adapted(session: Session, call: AdaptCall) -> AdaptCall:
    """The call with the session's views, and its steps unless the call asks for others."""
    asked = call.options.steps
    steps = session.steps if asked is None else asked
    return replace(call, options=replace(call.options, steps=steps, views=session.n_views))


def next_version(session: Session, learned: Learned, call: AdaptCall, now: float) -> Session:
    """The session as adapting it again by a call of `as_adapted` has made it."""
    asked = call.options.steps
    return replace(
        session,
        labels=learned.support.names,
        image_counts=learned.support.image_counts(),
        steps=session.steps if asked is None else asked,
        adapted=learned.adaptation.adapted,
        version=session.version + 1,
        expires_at=session.used_at(now),
    )

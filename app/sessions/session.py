"""A session, and what is kept beside it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

import torch

from ..meta.params import Params, n_bytes

ID_BYTES = 24


def new_session_id() -> str:
    """192 random bits, URL-safe."""
    return secrets.token_urlsafe(ID_BYTES)


@dataclass(frozen=True)
class SessionFacts:
    """A session without its tensors.

    ``tenant`` owns it ("" where the server asks for no key); ``identity`` is that of the
    initialization; ``version`` starts at 1 and rises by one whenever the support set grows.
    ``n_views`` counts an image and the views that it was adapted to; None, which older sessions
    have, for all that the initialization had. Times
    are seconds since the epoch. Every use moves ``expires_at`` to ``ttl_seconds`` from then, but
    never beyond ``ends_at``.
    """

    id: str
    tenant: str
    identity: str
    labels: tuple[str, ...]
    image_counts: tuple[int, ...]
    steps: int
    version: int
    keeps_support: bool
    created_at: float
    ttl_seconds: float
    expires_at: float
    ends_at: float
    n_views: int | None = None

    def used_at(self, now: float) -> float:
        """The end of the session after a use ``now``."""
        return min(now + self.ttl_seconds, self.ends_at)


@dataclass(frozen=True)
class Session(SessionFacts):
    """An adapted model: the tensors that differ from its initialization's.

    Row ``i`` of the head belongs to ``labels[i]``. ``unconfirmed_seconds`` is how long ago a store
    that cannot be asked now last said that this is the session; None where it was asked.
    """

    adapted: Params = field(kw_only=True)
    unconfirmed_seconds: float | None = field(default=None, kw_only=True)

    def ending(self, expires_at: float) -> Session:
        """The session with its end moved."""
        return replace(self, expires_at=expires_at)

    def n_bytes(self) -> int:
        """Bytes of memory that the tensors take."""
        return n_bytes(self.adapted)


@dataclass(frozen=True)
class KeptSupport:
    """The support set of a session, to which further images can be added.

    ``images`` is what is kept of each: `(support, channel, height, width)` float32 prepared images,
    or `(support, 1 + view, ...)` float16 frozen features. ``labels`` are `(support,)` int64
    positions in the session's labels. ``fingerprints`` `(support, ...)` int8 tell copies of a
    picture; those of older sessions are zeros, which tell nothing.
    """

    images: torch.Tensor
    labels: torch.Tensor
    fingerprints: torch.Tensor


@dataclass(frozen=True)
class IdempotencyKey:
    """The key of a call that may be sent again; unique for a tenant and a route."""

    tenant: str
    route: str
    key: str


@dataclass(frozen=True)
class KeptAnswer:
    """The answer that a keyed call got; ``digest`` is the sha256 of what the call asked for.

    ``content`` is the JSON body; None once its session was deleted or has ended.
    """

    key: IdempotencyKey
    digest: str
    session_id: str
    status: int
    content: bytes | None
    created_at: float


@dataclass(frozen=True)
class Page:
    """Some of a tenant's sessions, the newest first; ``next`` is the cursor behind them, if any."""

    sessions: tuple[SessionFacts, ...]
    next: str | None


@dataclass(frozen=True)
class Usage:
    """What sessions take of the store, and of the cache in front of it."""

    sessions: int
    stored_bytes: int
    cached_bytes: int

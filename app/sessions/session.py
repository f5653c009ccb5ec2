"""What a session is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from ..meta.params import Params, n_bytes

ID_BYTES = 24


def new_session_id() -> str:
    """192 random bits, URL-safe."""
    return secrets.token_urlsafe(ID_BYTES)


@dataclass(frozen=True)
class Session:
    """An adapted model: the tensors that differ from its initialization's, and its labels.

    ``identity`` is that of the initialization; row ``i`` of the head belongs to ``labels[i]``.
    Times are seconds since the epoch. Every use moves ``expires_at`` to ``ttl_seconds`` from
    then, but never beyond ``ends_at``.
    """

    id: str
    identity: str
    labels: tuple[str, ...]
    image_counts: tuple[int, ...]
    steps: int
    adapted: Params
    created_at: float
    ttl_seconds: float
    expires_at: float
    ends_at: float

    def used(self, now: float) -> Session:
        """The session with its end moved by a use."""
        return replace(self, expires_at=min(now + self.ttl_seconds, self.ends_at))

    def n_bytes(self) -> int:
        """Memory that the tensors take."""
        return n_bytes(self.adapted)

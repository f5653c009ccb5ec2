"""What the sessions ask of a place that keeps them: bytes under ids. No tensor is known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .session import IdempotencyKey, KeptAnswer

RETRY_AFTER_SECONDS = 5.0
"""When a caller who was refused for want of room may ask again."""


@dataclass(frozen=True)
class Record:
    """A session as it is kept: columns to find it by, and the rest as bytes.

    ``facts`` is small and listed; ``weights`` and ``support`` are not read for a list.
    """

    id: str
    tenant: str
    version: int
    created_at: float
    expires_at: float
    ttl_seconds: float
    ends_at: float
    facts: bytes
    weights: bytes = b""
    support: bytes | None = None

    def n_bytes(self) -> int:
        """What it counts for against a bound of bytes."""
        return len(self.facts) + len(self.weights) + len(self.support or b"")


@dataclass(frozen=True)
class Bounds:
    """How much a store takes: bytes of all sessions, and for a tenant sessions and kept answers.

    ``max_sessions`` is None where there is no such bound.
    """

    max_bytes: int
    max_answers: int
    max_sessions: int | None = None


class Store(Protocol):
    """Each call is whole or did not happen, and durable, where the store is, when it returns.

    Every method raises Unavailable when the store cannot be reached or is full.
    """

    def insert(self, record: Record, answer: KeptAnswer | None) -> None:
        """Keep a new session, and the answer that told of it. Raises TenantLimit too."""
        ...

    def replace(self, record: Record, answer: KeptAnswer | None) -> bool:
        """Put a session in the place of its version before; False where that is not there."""
        ...

    def find(self, session_id: str) -> Record | None:
        """A session without its support set."""
        ...

    def find_support(self, session_id: str, version: int) -> bytes | None:
        """The support set of a version of a session, if it is there and has one."""
        ...

    def page(
        self, tenant: str, now: float, limit: int, after: tuple[float, str] | None
    ) -> Sequence[Record]:
        """Live sessions of a tenant by creation and id, downwards from ``after``, facts alone."""
        ...

    def delete(self, session_id: str) -> bool:
        """Forget a session and what its answers said; False where it is not there."""
        ...

    def delete_ended(self, now: float) -> Sequence[str]:
        """Forget the sessions that have ended by ``now``, and give their ids."""
        ...

    def move_ends(self, ends: Mapping[str, float]) -> None:
        """Let sessions end later than they would."""
        ...

    def touch_all(self, now: float) -> None:
        """Let every session end as if it had just been used."""
        ...

    def find_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """What a keyed call was answered."""
        ...

    def delete_answers(self, before: float) -> None:
        """Forget answers from before a moment."""
        ...

    def usage(self) -> tuple[int, int]:
        """How many sessions are kept, and their bytes."""
        ...

    def reclaim(self) -> None:
        """Give the space of what was forgotten back."""
        ...

    def check(self) -> None:
        """Do nothing but reach the store."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

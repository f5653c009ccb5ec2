"""What keeps sessions, as bytes under ids. Nothing here knows a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..errors import TenantLimit, Unavailable
from .session import IdempotencyKey, KeptAnswer

COLUMNS = ("id", "tenant", "version", "created_at", "expires_at", "ttl_seconds", "ends_at")
"""Facts of a session that a record has as fields of its own, so that a store can search by them."""
STORE_RETRY_SECONDS = 5.0
"""When a caller who was refused because the store is full or away may ask again."""


@dataclass(frozen=True)
class Record:
    """A stored session: columns to search by, and everything else as bytes.

    ``facts`` are small JSON; a list reads neither ``weights`` nor ``support`` (safetensors).
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

    def resumed(self, began: float, now: float) -> Record:
        """The record as a process that ``began`` later takes it up: as one that was used then.

        The machine's clock says little of the time between two processes: it may have been set.
        A session that ended while there was none, or that was made later than ``now``, counts as
        made when the process began; none ends later than a use ``now`` would let it.
        """
        if self.created_at > now or self.ends_at <= began:
            ends_at = began + self.ends_at - self.created_at
            used = min(began + self.ttl_seconds, ends_at)
            return replace(self, created_at=began, expires_at=used, ends_at=ends_at)
        used = min(began + self.ttl_seconds, self.ends_at)
        latest = min(now + self.ttl_seconds, self.ends_at)
        return replace(self, expires_at=min(max(self.expires_at, used), latest))

    def n_bytes(self) -> int:
        """The bytes that count against ``Bounds.max_bytes``."""
        return len(self.facts) + len(self.weights) + len(self.support or b"")


@dataclass(frozen=True)
class Bounds:
    """How much a store holds: bytes of all sessions; sessions and kept answers of each tenant.

    ``max_sessions`` is None where a tenant may have any number of them.
    """

    max_bytes: int
    max_answers: int
    max_sessions: int | None = None

    def check_room(self, n_sessions: int, taken_bytes: int, growth_bytes: int) -> None:
        """Raise Unavailable where sessions that take some bytes cannot grow by others."""
        if taken_bytes + growth_bytes > self.max_bytes:
            raise Unavailable(
                f"the session store is full: {n_sessions:,} sessions take "
                f"{taken_bytes:,} of {self.max_bytes:,} bytes",
                STORE_RETRY_SECONDS,
            )

    def check_tenant(self, n_sessions: int) -> None:
        """Raise TenantLimit where a tenant with so many sessions may have no further one."""
        if self.max_sessions is not None and n_sessions >= self.max_sessions:
            raise TenantLimit("sessions", self.max_sessions, STORE_RETRY_SECONDS)


class Store(Protocol):
    """Each call is whole or did not happen, and durable, where the store is, when it returns.

    Every method raises Unavailable when the store cannot be reached or is full.
    """

    def insert(self, record: Record, answer: KeptAnswer | None) -> None:
        """Keep a new session, and the answer that reported it. Raises TenantLimit too."""
        ...

    def replace(self, record: Record, answer: KeptAnswer | None) -> bool:
        """Replace the version before this one; False where another version or none is stored."""
        ...

    def find(self, session_id: str) -> Record | None:
        """A session without its support set."""
        ...

    def find_support(self, session_id: str, version: int) -> bytes | None:
        """The support set of one version of a session, if that is stored and has one."""
        ...

    def page(
        self, tenant: str, now: float, limit: int, after: tuple[float, str] | None
    ) -> Sequence[Record]:
        """Live sessions of a tenant by creation and id, downwards from ``after``, facts alone."""
        ...

    def delete(self, session_id: str) -> bool:
        """Delete a session and the content of its answers; False where it is not stored."""
        ...

    def delete_ended(self, now: float) -> Sequence[str]:
        """Delete the sessions that have ended by ``now``, and return their ids."""
        ...

    def move_ends(self, ends: Mapping[str, float]) -> None:
        """Move the ends of sessions, by id, to later moments; none moves to an earlier one."""
        ...

    def resume(self, began: float, now: float, oldest_answer: float) -> None:
        """Take up what an earlier process left: `Record.resumed` of every session.

        Answers from before ``oldest_answer``, or from later than ``now``, count as given when this
        process ``began``. Doing it again changes nothing.
        """
        ...

    def find_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer that a keyed call got, if it is still kept."""
        ...

    def delete_answers(self, before: float) -> None:
        """Delete the answers given before a moment."""
        ...

    def mend(self) -> bool:
        """Recover from a fault of what the store keeps sessions in, where it can.

        True where something had to be recovered: what was found before may not be there any more.
        """
        ...

    def usage(self) -> tuple[int, int]:
        """The number of sessions, and the bytes that they take."""
        ...

    def reclaim(self) -> None:
        """Free the space of what was deleted."""
        ...

    def check(self) -> None:
        """Raise Unavailable when the store cannot be reached; do nothing else."""
        ...

    def close(self) -> None:
        """Release the store. No other method may be called afterwards."""
        ...

"""What keeps sessions, as bytes under ids. Nothing here knows a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from .session import IdempotencyKey, KeptAnswer

COLUMNS = ("id", "tenant", "version", "created_at", "expires_at", "ttl_seconds", "ends_at")
"""Facts of a session that a record has as fields of its own, so that a store can search by them."""
ANSWER_SECONDS = 24 * 3600
"""How long the answer of a keyed call is kept."""
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
    """How much a store holds: bytes of all sessions, kept answers of each tenant.

    ``max_tenant_sessions`` and ``max_tenant_bytes`` are None where a tenant may have any number.
    """

    max_bytes: int
    max_answers: int
    max_tenant_sessions: int | None = None
    max_tenant_bytes: int | None = None


class Store(Protocol):
    """Each call is whole or did not happen, and durable, where the store is, when it returns.

    Every method raises Unavailable when the store cannot be reached or is full.
    """

    def insert(self, record: Record, answer: KeptAnswer | None) -> None:
        """Keep a new session, and the answer that reported it. Raises TenantLimit too."""
        ...

    def replace(self, record: Record, answer: KeptAnswer | None) -> bool:
        """Replace the version before this one; False where another version or none is stored.

        Raises TenantLimit too.
        """
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

    def find_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer that a keyed call got, if it is still kept."""
        ...

    def usage(self) -> tuple[int, int]:
        """The number of sessions, and the bytes that they take."""
        ...

    def check(self) -> None:
        """Raise Unavailable when the store cannot be reached; do nothing else."""
        ...

    def close(self) -> None:
        """Release the store. No other method may be called afterwards."""
        ...


class OwnedStore(Store, Protocol):
    """A store that one process has to itself: what it remembers of the store is true."""

    def move_ends(self, ends: Mapping[str, float]) -> None:
        """Move the ends of sessions, by id, to later moments; none moves to an earlier one."""
        ...

    def resume(self, began: float, now: float, oldest_answer: float) -> None:
        """Take up what an earlier process left: `Record.resumed` of every session.

        Answers from before ``oldest_answer``, or from later than ``now``, count as given when this
        process ``began``. Doing it again changes nothing.
        """
        ...

    def delete_answers(self, before: float) -> None:
        """Delete the answers given before a moment."""
        ...

    def mend(self) -> bool:
        """Recover from a fault of what the store keeps sessions in, where it can.

        True where something had to be recovered: what was found before may not be there any more.
        """
        ...

    def reclaim(self) -> None:
        """Free the space of what was deleted."""
        ...


class Claims(Protocol):
    """Names that one of several processes holds at a time, by leases that outlive its crash.

    ``token`` tells who holds a name; it is told to others who want it. Every method raises
    Unavailable.
    """

    def claim(self, name: str, token: str, seconds: float) -> str | None:
        """Hold a name for so long from now; gives None, or the token of another who holds it.

        Who holds it already holds it for longer.
        """
        ...

    def renew(self, name: str, token: str, seconds: float) -> bool:
        """Hold a name for so long from now; False where it is not held with this token."""
        ...

    def release(self, name: str, token: str) -> None:
        """Give up a name, if it is held with this token."""
        ...


@dataclass(frozen=True)
class Found:
    """What a shared store has of a session that was asked for.

    ``epoch`` names what the store holds: it is another one once all of it was lost. ``version`` is
    None where the session is not there, has ended or belongs to somebody else. ``record`` is None
    where the version is the one that was known.
    """

    epoch: str
    version: int | None = None
    expires_at: float = 0.0
    record: Record | None = None


class SharedStore(Store, Claims, Protocol):
    """A store that several processes use at once: what one remembers of it may be old."""

    def look(self, session_id: str, tenant: str, known: int, now: float, *, use: bool) -> Found:
        """A tenant's live session, in one round trip; ``use`` moves its end as using it does.

        ``known`` is the version that need not be sent; 0 for none.
        """
        ...

    def epoch(self) -> str:
        """The epoch as it was last heard of."""
        ...

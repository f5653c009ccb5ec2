"""A store in the memory of this process: gone when it ends."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import TenantLimit, Unavailable
from .session import IdempotencyKey, KeptAnswer
from .store import RETRY_AFTER_SECONDS, Bounds, Record


class MemoryStore:
    """A bounded store. A live session is never pushed out by a new one: the new one is refused."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._records: dict[str, Record] = {}
        self._answers: dict[IdempotencyKey, KeptAnswer] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def insert(self, record: Record, answer: KeptAnswer | None) -> None:
        """Keep a new session. Raises Unavailable and TenantLimit where a bound is met."""
        most = self._bounds.max_sessions
        with self._lock:
            if most is not None:
                own = sum(each.tenant == record.tenant for each in self._records.values())
                if own >= most:
                    raise TenantLimit(most, RETRY_AFTER_SECONDS)
            self._make_room(record.n_bytes())
            self._put(record, answer)

    def replace(self, record: Record, answer: KeptAnswer | None) -> bool:
        """Put a session in the place of its version before; False where that is not there."""
        with self._lock:
            old = self._records.get(record.id)
            if old is None or old.version != record.version - 1:
                return False
            self._make_room(record.n_bytes() - old.n_bytes())
            self._put(record, answer)
            return True

    def find(self, session_id: str) -> Record | None:
        """A session without its support set."""
        with self._lock:
            found = self._records.get(session_id)
            return found and replace(found, support=None)

    def find_support(self, session_id: str, version: int) -> bytes | None:
        """The support set of a version of a session, if it is there and has one."""
        with self._lock:
            found = self._records.get(session_id)
            return found.support if found is not None and found.version == version else None

    def page(
        self, tenant: str, now: float, limit: int, after: tuple[float, str] | None
    ) -> Sequence[Record]:
        """Live sessions of a tenant by creation and id, downwards from ``after``."""
        with self._lock:
            own = [r for r in self._records.values() if r.tenant == tenant and r.expires_at > now]
        own.sort(key=lambda record: (record.created_at, record.id), reverse=True)
        return [r for r in own if after is None or (r.created_at, r.id) < after][:limit]

    def delete(self, session_id: str) -> bool:
        """Forget a session and what its answers said; False where it is not there."""
        with self._lock:
            return self._drop(session_id)

    def delete_ended(self, now: float) -> Sequence[str]:
        """Forget the sessions that have ended by ``now``, and give their ids."""
        with self._lock:
            ended = [r.id for r in self._records.values() if r.expires_at <= now]
            for session_id in ended:
                self._drop(session_id)
            return ended

    def move_ends(self, ends: Mapping[str, float]) -> None:
        """Let sessions end later than they would."""
        with self._lock:
            for session_id, expires_at in ends.items():
                record = self._records.get(session_id)
                if record is not None and record.expires_at < expires_at:
                    self._records[session_id] = replace(record, expires_at=expires_at)

    def touch_all(self, now: float) -> None:
        """Let every session end as if it had just been used."""
        with self._lock:
            ends = {r.id: min(now + r.ttl_seconds, r.ends_at) for r in self._records.values()}
        self.move_ends(ends)

    def find_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """What a keyed call was answered."""
        with self._lock:
            return self._answers.get(key)

    def delete_answers(self, before: float) -> None:
        """Forget answers from before a moment."""
        with self._lock:
            kept = {k: a for k, a in self._answers.items() if a.created_at >= before}
            self._answers = kept

    def usage(self) -> tuple[int, int]:
        """How many sessions are kept, and their bytes."""
        with self._lock:
            return len(self._records), self._bytes

    def reclaim(self) -> None:
        """Memory of what was forgotten is free already."""

    def check(self) -> None:
        """Memory is always there."""

    def close(self) -> None:
        """There is nothing to let go of."""

    def _make_room(self, size: int) -> None:
        if self._bytes + size > self._bounds.max_bytes:
            raise Unavailable(
                f"the session store is full: {len(self._records):,} sessions take "
                f"{self._bytes:,} of {self._bounds.max_bytes:,} bytes",
                RETRY_AFTER_SECONDS,
            )

    def _put(self, record: Record, answer: KeptAnswer | None) -> None:
        old = self._records.get(record.id)
        self._bytes += record.n_bytes() - (0 if old is None else old.n_bytes())
        self._records[record.id] = record
        if answer is not None:
            self._answers[answer.key] = answer
            own = [key for key in self._answers if key.tenant == answer.key.tenant]
            for key in own[: max(0, len(own) - self._bounds.max_answers)]:
                del self._answers[key]

    def _drop(self, session_id: str) -> bool:
        record = self._records.pop(session_id, None)
        if record is None:
            return False
        self._bytes -= record.n_bytes()
        for key, answer in self._answers.items():
            if answer.session_id == session_id:
                self._answers[key] = replace(answer, content=None)
        return True

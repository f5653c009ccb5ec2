"""A store in the memory of this process, which ends with it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .session import IdempotencyKey, KeptAnswer
from .store import Bounds, Record


class MemoryStore:
    """A bounded store. A new session that does not fit is refused; live sessions stay."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._records: dict[str, Record] = {}
        self._answers: dict[IdempotencyKey, KeptAnswer] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def insert(self, record: Record, answer: KeptAnswer | None) -> None:
        """Keep a new session. Raises Unavailable and TenantLimit where a bound is met."""
        with self._lock:
            own = sum(stored.tenant == record.tenant for stored in self._records.values())
            self._bounds.check_tenant(own)
            self._check_room(record.n_bytes())
            self._put(record, answer)

    def replace(self, record: Record, answer: KeptAnswer | None) -> bool:
        """Replace the version before this one; False where another version or none is stored."""
        with self._lock:
            old = self._records.get(record.id)
            if old is None or old.version != record.version - 1:
                return False
            self._check_room(record.n_bytes() - old.n_bytes())
            self._put(record, answer)
            return True

    def find(self, session_id: str) -> Record | None:
        """A session without its support set."""
        with self._lock:
            record = self._records.get(session_id)
            return record and replace(record, support=None)

    def find_support(self, session_id: str, version: int) -> bytes | None:
        """The support set of one version of a session, if that is stored and has one."""
        with self._lock:
            record = self._records.get(session_id)
            return record.support if record is not None and record.version == version else None

    def page(
        self, tenant: str, now: float, limit: int, after: tuple[float, str] | None
    ) -> Sequence[Record]:
        """Live sessions of a tenant by creation and id, downwards from ``after``."""
        with self._lock:
            own = [r for r in self._records.values() if r.tenant == tenant and r.expires_at > now]
        own.sort(key=lambda record: (record.created_at, record.id), reverse=True)
        return [r for r in own if after is None or (r.created_at, r.id) < after][:limit]

    def delete(self, session_id: str) -> bool:
        """Delete a session and the content of its answers; False where it is not stored."""
        with self._lock:
            return self._drop(session_id)

    def delete_ended(self, now: float) -> Sequence[str]:
        """Delete the sessions that have ended by ``now``, and return their ids."""
        with self._lock:
            ended = [r.id for r in self._records.values() if r.expires_at <= now]
            for session_id in ended:
                self._drop(session_id)
            return ended

    def move_ends(self, ends: Mapping[str, float]) -> None:
        """Move the ends of sessions to later moments."""
        with self._lock:
            for session_id, expires_at in ends.items():
                record = self._records.get(session_id)
                if record is not None and record.expires_at < expires_at:
                    self._records[session_id] = replace(record, expires_at=expires_at)

    def resume(self, began: float, now: float, oldest_answer: float) -> None:
        """Take up what an earlier user of this store left."""
        with self._lock:
            self._records = {r.id: r.resumed(began, now) for r in self._records.values()}
            self._answers = {
                key: answer
                if oldest_answer <= answer.created_at <= now
                else replace(answer, created_at=began)
                for key, answer in self._answers.items()
            }

    def find_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer that a keyed call got, if it is still kept."""
        with self._lock:
            return self._answers.get(key)

    def delete_answers(self, before: float) -> None:
        """Delete the answers given before a moment."""
        with self._lock:
            kept = {k: a for k, a in self._answers.items() if a.created_at >= before}
            self._answers = kept

    def mend(self) -> bool:
        """Do nothing: memory has no faults."""
        return False

    def usage(self) -> tuple[int, int]:
        """The number of sessions, and the bytes that they take."""
        with self._lock:
            return len(self._records), self._bytes

    def reclaim(self) -> None:
        """Do nothing: the memory of what was deleted is free already."""

    def check(self) -> None:
        """Do nothing: memory can always be reached."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _check_room(self, growth_bytes: int) -> None:
        self._bounds.check_room(len(self._records), self._bytes, growth_bytes)

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

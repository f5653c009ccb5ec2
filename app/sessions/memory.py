"""Sessions in the memory of this process: gone when it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import SessionNotFound, Unavailable
from .session import Session

Clock = Callable[[], float]


class MemorySessions:
    """A bounded store. A live session is never pushed out by a new one: the new one is refused."""

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self._max_bytes, self._clock = max_bytes, clock
        self._sessions: dict[str, Session] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, session: Session) -> None:
        """Keep a session. Raises Unavailable when the byte bound leaves no room for it."""
        size = session.n_bytes()
        with self._lock:
            self._drop_expired()
            if self._bytes + size > self._max_bytes:
                raise Unavailable(
                    f"the session store is full: {len(self._sessions):,} sessions take "
                    f"{self._bytes:,} of {self._max_bytes:,} bytes",
                    self._seconds_to_next_end(),
                )
            self._sessions[session.id] = session
            self._bytes += size

    def use(self, session_id: str) -> Session:
        """Fetch a live session and move its end. Raises SessionNotFound."""
        with self._lock:
            session = self._live(session_id).used(self._clock())
            self._sessions[session_id] = session
            return session

    def look_at(self, session_id: str) -> Session:
        """Fetch a live session and leave its end alone. Raises SessionNotFound."""
        with self._lock:
            return self._live(session_id)

    def delete(self, session_id: str) -> None:
        """Forget a live session. Raises SessionNotFound."""
        with self._lock:
            self._live(session_id)
            self._drop(session_id)

    def sweep(self) -> None:
        """Forget all sessions that have ended."""
        with self._lock:
            self._drop_expired()

    def usage(self) -> tuple[int, int]:
        """How many sessions are kept, and their bytes."""
        with self._lock:
            return len(self._sessions), self._bytes

    def _live(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise SessionNotFound(session_id)
        if session.expires_at <= self._clock():
            self._drop(session_id)
            raise SessionNotFound(session_id)
        return session

    def _drop(self, session_id: str) -> None:
        self._bytes -= self._sessions.pop(session_id).n_bytes()

    def _drop_expired(self) -> None:
        now = self._clock()
        for session in [s for s in self._sessions.values() if s.expires_at <= now]:
            self._drop(session.id)

    def _seconds_to_next_end(self) -> float:
        now = self._clock()
        return max(1.0, min((s.expires_at for s in self._sessions.values()), default=now) - now)

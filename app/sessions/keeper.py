"""What the service needs of sessions, and what the ways to keep them share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from ..errors import SessionChanged, SessionNotFound, Unavailable
from .clock import Clock
from .codec import decode_support
from .session import IdempotencyKey, KeptAnswer, KeptSupport, Page, Session, Usage
from .store import ANSWER_SECONDS, STORE_RETRY_SECONDS, Claims, Store

SWEEP_SECONDS = 1.0
"""How often `sweep` should run."""
MOST_UNSWEPT_SECONDS = 30.0
"""How long ago the last whole sweep may lie before the store counts as away: nothing expires."""


class SessionKeeper(ABC):
    """Sessions in a store, with those used last at hand. Every method may run in any thread."""

    n_writers = 1
    """How many sessions the store writes at once."""

    def __init__(self, store: Store, clock: Clock, steady: Clock = time.monotonic) -> None:
        """``steady`` is a clock that is never set."""
        self._kept_in, self._clock = store, clock
        self._steady, self._swept_at = steady, steady()
        self.n_sweeps = 0

    @property
    def claims(self) -> Claims | None:
        """Where processes settle who does what; None where this one is alone."""
        return None

    @abstractmethod
    def put(
        self,
        session: Session,
        support: KeptSupport | None = None,
        answer: KeptAnswer | None = None,
    ) -> None:
        """Keep a new session, its support set and the answer to a keyed call, all or nothing.

        Raises Unavailable when the store is full or away, and TenantLimit.
        """

    @abstractmethod
    def replace(
        self,
        session: Session,
        support: KeptSupport | None = None,
        answer: KeptAnswer | None = None,
    ) -> None:
        """Replace a session's version before this one.

        Raises SessionChanged when another version is stored, SessionNotFound when none is, and
        Unavailable.
        """

    @abstractmethod
    def touch(self, session_id: str, tenant: str) -> Session:
        """Fetch a live session and move its end. Raises SessionNotFound and Unavailable."""

    def touch_cached(self, session_id: str, tenant: str) -> Session | None:  # noqa: ARG002
        """Do what `touch` does without waiting for the store; None where it has to be asked.

        Raises SessionNotFound for a cached session that has ended or belongs to somebody else.
        """
        return None

    @abstractmethod
    def read(self, session_id: str, tenant: str) -> Session:
        """Fetch a live session and leave its end alone. Raises SessionNotFound and Unavailable.

        Unknown, ended, deleted, somebody else's: nobody can tell which.
        """

    def support_of(self, session: Session) -> KeptSupport | None:
        """The support set of this version of a session; None where none is kept.

        Raises SessionChanged when another version is stored by now, SessionNotFound and
        Unavailable.
        """
        if not session.keeps_support:
            return None
        content = self._kept_in.find_support(session.id, session.version)
        if content is None:
            raise self._missing(session.id, session.version)
        return decode_support(content)

    @abstractmethod
    def page(self, tenant: str, *, limit: int, after: str | None) -> Page:
        """A tenant's live sessions, the newest first, behind the cursor ``after``.

        Raises InvalidInput for a cursor that no page has given, and Unavailable.
        """

    @abstractmethod
    def delete(self, session_id: str, tenant: str) -> None:
        """Delete a live session and all that is kept with it.

        Raises SessionNotFound and Unavailable.
        """

    def kept_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer that a keyed call of the last 24 hours got."""
        answer = self._kept_in.find_answer(key)
        if answer is None or answer.created_at < self._clock() - ANSWER_SECONDS:
            return None
        return answer

    @abstractmethod
    def sweep(self) -> None:
        """Delete what has ended. Raises Unavailable."""

    def unswept_seconds(self) -> float:
        """How long ago the last whole sweep was."""
        return self._steady() - self._swept_at

    def usage(self) -> Usage:
        """What sessions take of the store and of the cache."""
        return Usage(*self._kept_in.usage(), self.cached_bytes())

    @abstractmethod
    def cached_bytes(self) -> int:
        """Bytes of memory that the sessions at hand take."""

    def check(self) -> None:
        """Raise Unavailable when the store cannot be reached, or was not swept for long."""
        self._kept_in.check()
        unswept = self.unswept_seconds()
        if unswept > MOST_UNSWEPT_SECONDS:
            raise Unavailable(
                f"ended sessions were last deleted {unswept:.0f} s ago", STORE_RETRY_SECONDS
            )

    @abstractmethod
    def close(self) -> None:
        """Close the store."""

    def _swept(self) -> None:
        self._swept_at = self._steady()
        self.n_sweeps += 1

    def _missing(self, session_id: str, version: int) -> SessionChanged | SessionNotFound:
        """Why the store does not have a version of a session."""
        record = self._kept_in.find(session_id)
        if record is None:
            return SessionNotFound(session_id)
        return SessionChanged(version, record.version)

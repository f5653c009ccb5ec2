"""The sessions of this process: a cache of ready tensors in front of a store of bytes."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import OrderedDict
from dataclasses import replace

from ..errors import SessionNotFound, Unavailable
from .clock import Clock
from .codec import decode, decode_cursor, decode_facts, encode, encode_cursor
from .keeper import SWEEP_SECONDS, SessionKeeper
from .session import KeptAnswer, KeptSupport, Page, Session
from .store import ANSWER_SECONDS, OwnedStore, Record

SPARE_SECONDS = 2 * SWEEP_SECONDS
"""How far stored ends may lag behind those that callers were told."""

log = logging.getLogger("inkling")


class Sessions(SessionKeeper):
    """Sessions are stored when `put` returns, and cached: those used last need no reading.

    Storing the end of a session at every prediction would cost a write to the disk each time.
    Moved ends are therefore kept in memory and stored by `sweep`. A process that is killed loses
    those of its last moments. A process that starts hence counts every stored session as just
    used, so that none ends before the moment that its user was told. Where the store takes nothing
    then, as on a full disk, that is true of what is read until a sweep can store it.
    """

    def __init__(
        self, store: OwnedStore, *, cache_bytes: int, clock: Clock, steady: Clock = time.monotonic
    ) -> None:
        """Take up what the store has; ``steady`` is a clock that is never set."""
        super().__init__(store, clock, steady)
        self._store, self._cache_bytes = store, cache_bytes
        self._cache: OrderedDict[str, Session] = OrderedDict()
        self._cached_bytes = 0
        self._moved: dict[str, float] = {}
        self._changes = 0
        self._lock = threading.Lock()
        self._sweeping = threading.Lock()
        self._began, self._resumed = clock(), False
        with contextlib.suppress(Unavailable):
            self._resume()

    def put(
        self,
        session: Session,
        support: KeptSupport | None = None,
        answer: KeptAnswer | None = None,
    ) -> None:
        """Keep a new session, its support set and the answer to a keyed call, all or nothing.

        Raises Unavailable when the store is full or away, and TenantLimit.
        """
        self._store.insert(encode(session, support), answer)
        with self._lock:
            self._remember(session)

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
        try:
            replaced = self._store.replace(encode(session, support), answer)
        except Unavailable:
            # It may have happened.
            with self._lock:
                self._drop(session.id)
            raise
        with self._lock:
            self._forget(session.id)
            if replaced:
                self._remember(session)
        if not replaced:
            raise self._missing(session.id, session.version - 1)

    def touch(self, session_id: str, tenant: str) -> Session:
        """Fetch a live session and move its end. Raises SessionNotFound and Unavailable."""
        session = self.touch_cached(session_id, tenant)
        if session is None:
            session = _live(self._load(session_id), tenant, self._clock())
            with self._lock:
                session = self._extend(session)
        return session

    def touch_cached(self, session_id: str, tenant: str) -> Session | None:
        """Do what `touch` does without waiting for the store; None where it has to be asked.

        Raises SessionNotFound for a cached session that has ended or belongs to somebody else.
        """
        with self._lock:
            session = self._cached(session_id)
            if session is None:
                return None
            return self._extend(_live(session, tenant, self._clock()))

    def read(self, session_id: str, tenant: str) -> Session:
        """Fetch a live session and leave its end alone. Raises SessionNotFound and Unavailable.

        Unknown, ended, deleted, somebody else's: nobody can tell which.
        """
        with self._lock:
            session = self._cached(session_id)
        if session is None:
            session = self._load(session_id)
        return _live(session, tenant, self._clock())

    def page(self, tenant: str, *, limit: int, after: str | None) -> Page:
        """A tenant's live sessions, the newest first, behind the cursor ``after``.

        Raises InvalidInput for a cursor that no page has given, and Unavailable.
        """
        cursor = None if after is None else decode_cursor(after)
        now = self._clock()
        # A session whose end was moved and not stored yet belongs to the page.
        since = now - SPARE_SECONDS if self._resumed else -math.inf
        records = self._store.page(tenant, since, limit + 1, cursor)
        listed = [decode_facts(self._taken_up(record)) for record in records[:limit]]
        with self._lock:
            listed = [replace(s, expires_at=self._end_of(s.id, s.expires_at)) for s in listed]
        return Page(
            tuple(facts for facts in listed if facts.expires_at > now),
            encode_cursor(decode_facts(records[limit - 1])) if len(records) > limit else None,
        )

    def delete(self, session_id: str, tenant: str) -> None:
        """Delete a live session and all that is kept with it.

        Raises SessionNotFound and Unavailable.
        """
        self.read(session_id, tenant)
        deleted = self._store.delete(session_id)
        with self._lock:
            self._forget(session_id)
        if not deleted:
            raise SessionNotFound(session_id)

    def sweep(self) -> None:
        """Store moved ends, delete ended sessions and old answers, and free their space.

        Before that, recover from faults of the store, where it can. Raises Unavailable.
        """
        with self._sweeping:
            if self._store.mend():
                with self._lock:
                    for session_id in list(self._cache):
                        self._drop(session_id)
            self._resume()
            with self._lock:
                # Read under the lock: every use before ``now`` is in ``moved``.
                now = self._clock()
                moved = dict(self._moved)
            self._store.move_ends(moved)
            with self._lock:
                for session_id, expires_at in moved.items():
                    if self._moved.get(session_id) == expires_at:
                        del self._moved[session_id]
            for session_id in self._store.delete_ended(now):
                with self._lock:
                    self._forget(session_id)
            self._store.delete_answers(now - ANSWER_SECONDS)
            self._store.reclaim()
            self._swept()

    def cached_bytes(self) -> int:
        """Bytes of memory that the sessions at hand take."""
        with self._lock:
            return self._cached_bytes

    def close(self) -> None:
        """Store moved ends, where the store can be reached, and close it."""
        try:
            self.sweep()
        except Unavailable as away:
            log.warning("closing the session store: %s", away)
        finally:
            self._store.close()

    def _resume(self) -> None:
        if not self._resumed:
            now = self._clock()
            self._store.resume(self._began, now, self._began - ANSWER_SECONDS)
            self._resumed = True

    def _taken_up(self, record: Record) -> Record:
        """A record as the store will have it once it has taken up what it found."""
        return record if self._resumed else record.resumed(self._began, self._clock())

    def _cached(self, session_id: str) -> Session | None:
        session = self._cache.get(session_id)
        if session is not None:
            self._cache.move_to_end(session_id)
        return session

    def _load(self, session_id: str) -> Session:
        """Read a session from the store, and cache it."""
        if not session_id.isascii():
            raise SessionNotFound(session_id)
        with self._lock:
            changes = self._changes
        record = self._store.find(session_id)
        if record is None:
            raise SessionNotFound(session_id)
        session = decode(self._taken_up(record))
        with self._lock:
            session = session.ending(self._end_of(session_id, session.expires_at))
            # What was loaded may be stale if anything was replaced or deleted meanwhile.
            if changes == self._changes:
                self._remember(session)
        return session

    def _extend(self, session: Session) -> Session:
        """Move the end of a session that is used now."""
        expires_at = session.used_at(self._clock())
        self._moved[session.id] = expires_at
        # The cache may hold a newer version by now.
        cached = self._cache.get(session.id)
        if cached is not None:
            self._cache[session.id] = cached.ending(expires_at)
        return session.ending(expires_at)

    def _end_of(self, session_id: str, stored: float) -> float:
        return max(stored, self._moved.get(session_id, stored))

    def _remember(self, session: Session) -> None:
        """Cache a session, and drop those that were used longest ago where the cache is full."""
        size = session.n_bytes()
        if size > self._cache_bytes or session.id in self._cache:
            return
        self._cache[session.id] = session
        self._cached_bytes += size
        while self._cached_bytes > self._cache_bytes:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= oldest.n_bytes()

    def _forget(self, session_id: str) -> None:
        self._moved.pop(session_id, None)
        self._drop(session_id)

    def _drop(self, session_id: str) -> None:
        """Take a session out of the cache; the store has to be asked for it."""
        self._changes += 1
        cached = self._cache.pop(session_id, None)
        if cached is not None:
            self._cached_bytes -= cached.n_bytes()


def _live(session: Session, tenant: str, now: float) -> Session:
    """The session, if it is this tenant's and has not ended. Raises SessionNotFound."""
    if session.tenant != tenant or session.expires_at <= now:
        raise SessionNotFound(session.id)
    return session

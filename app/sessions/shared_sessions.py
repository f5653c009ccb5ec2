"""Sessions in a store that several processes share: each use asks it, none trusts its cache."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from ..errors import SessionNotFound, Unavailable
from .clock import Clock
from .codec import decode, decode_cursor, decode_facts, encode, encode_cursor
from .keeper import SessionKeeper
from .session import KeptAnswer, KeptSupport, Page, Session
from .store import Claims, SharedStore


@dataclass(frozen=True)
class _Held:
    """A session at hand: when, by the steady clock, and of which epoch the store told of it."""

    session: Session
    confirmed_at: float
    epoch: str


class SharedSessions(SessionKeeper):
    """Sessions of which any process may be asked, and which any may change, delete or end.

    Every use asks the store, in one round trip that moves the end and sends the tensors only where
    the version is not the one at hand. While the store cannot be asked, or has lost everything,
    sessions at hand are used on for ``stale_seconds`` after it last told of them, and say so.
    """

    n_writers = 4

    def __init__(
        self,
        store: SharedStore,
        *,
        cache_bytes: int,
        clock: Clock,
        stale_seconds: float,
        steady: Clock = time.monotonic,
    ) -> None:
        """Nothing is read or written yet."""
        super().__init__(store, clock, steady)
        self._store, self._cache_bytes = store, cache_bytes
        self._stale_seconds = stale_seconds
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, _Held] = OrderedDict()
        self._cached_bytes = 0

    @property
    def claims(self) -> Claims:
        """Where processes settle who does what."""
        return self._store

    def put(
        self,
        session: Session,
        support: KeptSupport | None = None,
        answer: KeptAnswer | None = None,
    ) -> None:
        """Keep a new session, its support set and the answer to a keyed call, all or nothing.

        Raises Unavailable, TenantLimit, and IdempotencyKeyInUse where another call with the key was
        answered meanwhile.
        """
        self._store.insert(encode(session, support), answer)
        self._remember(session, self._store.epoch())

    def replace(
        self,
        session: Session,
        support: KeptSupport | None = None,
        answer: KeptAnswer | None = None,
    ) -> None:
        """Replace a session's version before this one.

        Raises SessionChanged, SessionNotFound, and what `put` does.
        """
        try:
            replaced = self._store.replace(encode(session, support), answer)
        except Unavailable:
            # It may have happened.
            self._drop(session.id)
            raise
        if not replaced:
            self._drop(session.id)
            raise self._missing(session.id, session.version - 1)
        self._remember(session, self._store.epoch())

    def touch(self, session_id: str, tenant: str) -> Session:
        """Fetch a live session and move its end. Raises SessionNotFound and Unavailable."""
        return self._fetch(session_id, tenant, use=True)

    def read(self, session_id: str, tenant: str) -> Session:
        """Fetch a live session and leave its end alone. Raises SessionNotFound and Unavailable."""
        return self._fetch(session_id, tenant, use=False)

    def page(self, tenant: str, *, limit: int, after: str | None) -> Page:
        """A tenant's live sessions, the newest first, behind the cursor ``after``."""
        cursor = None if after is None else decode_cursor(after)
        records = self._store.page(tenant, self._clock(), limit + 1, cursor)
        return Page(
            tuple(decode_facts(record) for record in records[:limit]),
            encode_cursor(decode_facts(records[limit - 1])) if len(records) > limit else None,
        )

    def delete(self, session_id: str, tenant: str) -> None:
        """Delete a live session and all that is kept with it; while the store is away, nothing."""
        if not session_id.isascii():
            raise SessionNotFound(session_id)
        known = self._known(session_id)
        version = 0 if known is None else known.session.version
        found = self._store.look(session_id, tenant, version, self._clock(), use=False)
        deleted = found.version is not None and self._store.delete(session_id)
        if known is None or known.session.tenant == tenant:
            self._drop(session_id)
        if not deleted:
            raise SessionNotFound(session_id)

    def sweep(self) -> None:
        """Delete the sessions that have ended, whoever made them. Raises Unavailable."""
        for session_id in self._store.delete_ended(self._clock()):
            self._drop(session_id)
        self._swept()

    def cached_bytes(self) -> int:
        """Bytes of memory that the sessions at hand take."""
        with self._lock:
            return self._cached_bytes

    def close(self) -> None:
        """Let the store go; what it holds is for others too."""
        self._store.close()

    def _fetch(self, session_id: str, tenant: str, *, use: bool) -> Session:
        if not session_id.isascii():
            raise SessionNotFound(session_id)
        known = self._known(session_id)
        version = 0 if known is None else known.session.version
        try:
            found = self._store.look(session_id, tenant, version, self._clock(), use=use)
        except Unavailable:
            if known is None:
                raise
            session = self._unconfirmed(known, tenant)
            if session is None:
                raise
            return session
        if found.version is None:
            if known is not None and known.session.tenant == tenant:
                lost = self._unconfirmed(known, tenant) if known.epoch != found.epoch else None
                if lost is not None:
                    return lost
                self._drop(session_id)
            raise SessionNotFound(session_id)
        if known is not None and found.record is None:
            session = known.session.ending(found.expires_at)
        elif found.record is not None:
            session = decode(found.record)
        else:
            raise ValueError(f"the store sent nothing of version {found.version}")
        self._remember(session, found.epoch)
        return session

    def _unconfirmed(self, known: _Held, tenant: str) -> Session | None:
        """A session at hand of which the store told not too long ago, if it is this tenant's."""
        age = self._steady() - known.confirmed_at
        session = known.session
        if session.tenant != tenant or session.ends_at <= self._clock():
            raise SessionNotFound(session.id)
        if age > self._stale_seconds:
            return None
        return replace(session, unconfirmed_seconds=age)

    def _known(self, session_id: str) -> _Held | None:
        with self._lock:
            known = self._cache.get(session_id)
            if known is not None:
                self._cache.move_to_end(session_id)
            return known

    def _remember(self, session: Session, epoch: str) -> None:
        """Have a session at hand, unless a newer version is; those used longest ago go."""
        held, size = _Held(session, self._steady(), epoch), session.n_bytes()
        with self._lock:
            known = self._cache.get(session.id)
            if known is not None:
                if known.session.version > session.version:
                    return
                self._cached_bytes -= known.session.n_bytes()
                del self._cache[session.id]
            if size > self._cache_bytes:
                return
            self._cache[session.id] = held
            self._cached_bytes += size
            while self._cached_bytes > self._cache_bytes:
                _, oldest = self._cache.popitem(last=False)
                self._cached_bytes -= oldest.session.n_bytes()

    def _drop(self, session_id: str) -> None:
        with self._lock:
            known = self._cache.pop(session_id, None)
            if known is not None:
                self._cached_bytes -= known.session.n_bytes()

"""A store in a Redis that any number of processes share; it outlives all of them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import IdempotencyKeyInUse, TenantLimit, Unavailable
from . import redis_scripts as scripts
from .clock import Clock
from .redis_link import Argument, RedisLink
from .session import IdempotencyKey, KeptAnswer
from .store import ANSWER_SECONDS, STORE_RETRY_SECONDS, Bounds, Found, Record

SPARE_SECONDS = 10
"""How long Redis keeps a session after its end; until then a sweep deletes all of it."""
SWEPT_AT_ONCE = 256


class RedisStore:
    """A bounded store: a new session that does not fit is refused, live ones stay.

    Every call is one script or command: it happens as a whole, and is told once Redis has done it.
    What a Redis that fails then still knows depends on how it writes to its disk.
    """

    def __init__(
        self,
        url: str,
        bounds: Bounds,
        prefix: str = "inkling",
        password_file: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect, if Redis can be reached; else that is tried again.

        Sessions end by ``clock``; without one by that of Redis. Raises BadSetting as
        `RedisLink` does.
        """
        self._bounds = bounds
        self._link = RedisLink(url, prefix, password_file)
        self.clock = clock or self._link.now

    def epoch(self) -> str:
        """The epoch as it was last heard of."""
        return self._link.epoch

    def insert(self, record: Record, answer: KeptAnswer | None) -> None:
        """Keep a new session. Raises Unavailable, TenantLimit, and IdempotencyKeyInUse."""
        if not self._write(record, answer):
            raise ValueError(f"there is a session {record.id} already")

    def replace(self, record: Record, answer: KeptAnswer | None) -> bool:
        """Replace the version before this one; False where another version or none is stored.

        Raises what `insert` does.
        """
        return self._write(record, answer)

    def look(self, session_id: str, tenant: str, known: int, now: float, *, use: bool) -> Found:
        """A tenant's live session, in one round trip; ``use`` moves its end."""
        told = self._link.script(
            scripts.LOOK, session_id, tenant, known, repr(now), int(use), SPARE_SECONDS
        )
        epoch = told[0].decode()
        if len(told) == 1:
            return Found(epoch)
        version, expires_at = int(told[1]), float(told[2])
        if len(told) == 3:
            return Found(epoch, version, expires_at)
        ttl, ends_at, created_at = map(float, told[3:6])
        record = Record(
            session_id, tenant, version, created_at, expires_at, ttl, ends_at, told[6], told[7]
        )
        return Found(epoch, version, expires_at, record)

    def find(self, session_id: str) -> Record | None:
        """A session without its support set."""
        names = (*_FACTS, "tenant", "weights")
        told = self._link.command("HMGET", self._session(session_id), *names)
        if told[0] is None:
            return None
        *facts, tenant, weights = told
        return _record(session_id, tenant.decode(), facts, weights)

    def find_support(self, session_id: str, version: int) -> bytes | None:
        """The support set of one version of a session, if that is stored and has one."""
        stored, support = self._link.command(
            "HMGET", self._session(session_id), "version", "support"
        )
        found: bytes | None = support if stored is not None and int(stored) == version else None
        return found

    def page(
        self, tenant: str, now: float, limit: int, after: tuple[float, str] | None
    ) -> Sequence[Record]:
        """Live sessions of a tenant by creation and id, downwards from ``after``."""
        below, id_below = ("+inf", "") if after is None else (repr(after[0]), after[1])
        told = self._link.script(scripts.PAGE, tenant, repr(now), limit, below, id_below)
        return [_record(row[0].decode(), tenant, row[1:], b"") for row in told]

    def delete(self, session_id: str) -> bool:
        """Delete a session and the content of its answers; False where it is not stored."""
        return bool(self._link.script(scripts.DELETE, session_id))

    def delete_ended(self, now: float) -> Sequence[str]:
        """Delete the sessions that have ended by ``now``, and return their ids."""
        ended: list[str] = []
        looked_at = SWEPT_AT_ONCE
        while looked_at == SWEPT_AT_ONCE:
            looked_at, ids = self._link.script(scripts.DELETE_ENDED, repr(now), SWEPT_AT_ONCE)
            ended += [session_id.decode() for session_id in ids]
        return ended

    def find_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer that a keyed call got, if it is still kept."""
        digest, session, status, content, created_at = self._link.command(
            "HMGET",
            f"{self._link.prefix}answer:{_hash(key)}",
            *("digest", "session", "status", "content", "created_at"),
        )
        if digest is None:
            return None
        told = digest.decode(), session.decode(), int(status)
        return KeptAnswer(key, *told, content, float(created_at))

    def usage(self) -> tuple[int, int]:
        """The number of sessions, and the bytes that they take."""
        told = self._link.command("HMGET", f"{self._link.prefix}used", "sessions", "bytes")
        sessions, n_bytes = (int(n or 0) for n in told)
        return sessions, n_bytes

    def check(self) -> None:
        """Raise Unavailable with the reason why sessions cannot be kept now."""
        self._link.check()

    def claim(self, name: str, token: str, seconds: float) -> str | None:
        """Hold a name for so long from now; gives None, or the token of another who holds it."""
        held = self._link.script(scripts.CLAIM, name, token, round(1000 * seconds))
        return None if held is None else held.decode()

    def renew(self, name: str, token: str, seconds: float) -> bool:
        """Hold a name for so long from now; False where it is not held with this token."""
        return bool(self._link.script(scripts.RENEW, name, token, round(1000 * seconds)))

    def release(self, name: str, token: str) -> None:
        """Give up a name, if it is held with this token."""
        self._link.script(scripts.RELEASE, name, token)

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    def _session(self, session_id: str) -> str:
        return f"{self._link.prefix}session:{session_id}"

    def _write(self, record: Record, answer: KeptAnswer | None) -> bool:
        bounds = self._bounds
        of_answer: tuple[Argument, ...] = ("", "", "", "", "0", "0", "0", "")
        if answer is not None:
            of_answer = (
                *(_hash(answer.key), answer.digest, answer.status, answer.content or b""),
                *(repr(answer.created_at), 1000 * ANSWER_SECONDS, bounds.max_answers),
                answer.key.tenant,
            )
        done, _, *told = self._link.script(
            scripts.WRITE,
            *(record.id, record.tenant, secrets.token_hex(8), record.version),
            *(repr(record.created_at), repr(record.expires_at)),
            *(repr(record.ttl_seconds), repr(record.ends_at), repr(self.clock())),
            *(record.n_bytes(), record.facts, record.weights),
            *(int(record.support is not None), record.support or b""),
            *(bounds.max_bytes, _or_none(bounds.max_tenant_sessions)),
            _or_none(bounds.max_tenant_bytes),
            *of_answer,
            SPARE_SECONDS,
        )
        match done:
            case b"written":
                return True
            case b"changed":
                return False
            case b"answered":
                raise IdempotencyKeyInUse
            case b"tenant sessions":
                raise TenantLimit("sessions", bounds.max_tenant_sessions or 0, STORE_RETRY_SECONDS)
            case b"tenant bytes":
                most = bounds.max_tenant_bytes or 0
                raise TenantLimit("bytes of sessions", most, STORE_RETRY_SECONDS)
        sessions, n_bytes = map(int, told)
        raise Unavailable(
            f"the session store is full: {sessions:,} sessions take {n_bytes:,} of "
            f"{bounds.max_bytes:,} bytes",
            STORE_RETRY_SECONDS,
        )


_FACTS = ("version", "created_at", "expires_at", "ttl_seconds", "ends_at", "facts")


def _record(session_id: str, tenant: str, facts: Sequence[Any], weights: bytes) -> Record:
    version, *times, content = facts
    created_at, expires_at, ttl, ends_at = map(float, times)
    columns = int(version), created_at, expires_at, ttl, ends_at
    return Record(session_id, tenant, *columns, content, weights)


def _hash(key: IdempotencyKey) -> str:
    named = json.dumps([key.tenant, key.route, key.key]).encode()
    return hashlib.sha256(named).hexdigest()


def _or_none(bound: int | None) -> int | str:
    return "" if bound is None else bound

"""Calls under way, here and in processes with the same store: keys, and sessions they change."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from ..errors import IdempotencyKeyInUse, IdempotencyKeyReused
from ..sessions.session import IdempotencyKey
from .leases import Leases


class InFlightKeys:
    """The keys of calls under way, with their digests. A process that ends releases them all."""

    def __init__(self, leases: Leases | None = None) -> None:
        self._leases = leases or Leases()
        self._digests: dict[IdempotencyKey, str] = {}

    @contextlib.asynccontextmanager
    async def held(self, key: IdempotencyKey, digest: str) -> AsyncIterator[None]:
        """Hold a key for as long as its call runs.

        Raises IdempotencyKeyInUse while the same call runs, IdempotencyKeyReused for another one.
        """
        self._check(self._digests.get(key), digest)
        self._digests[key] = digest
        try:
            name = json.dumps(["key", key.tenant, key.route, key.key])
            async with self._leases.tried(name, digest) as elsewhere:
                self._check(elsewhere, digest)
                yield
        finally:
            del self._digests[key]

    @staticmethod
    def _check(running: str | None, digest: str) -> None:
        if running is not None:
            raise IdempotencyKeyInUse if running == digest else IdempotencyKeyReused


class SessionLocks:
    """A lock for each session that calls work on, for as long as there are such calls.

    A tenant waits for its own calls alone: whoever names another's session waits for nobody.
    """

    def __init__(self, leases: Leases | None = None) -> None:
        self._leases = leases or Leases()
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def of(self, session_id: str, tenant: str) -> AsyncIterator[None]:
        """Wait for the calls that came before."""
        named = session_id, tenant
        lock, users = self._locks.get(named, (asyncio.Lock(), 0))
        self._locks[named] = lock, users + 1
        try:
            async with lock, self._leases.waited_for(json.dumps(["session", tenant, session_id])):
                yield
        finally:
            lock, users = self._locks.pop(named)
            if users > 1:
                self._locks[named] = lock, users - 1

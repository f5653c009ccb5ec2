"""Calls under way in this process, on its event loop: their keys, and the sessions they change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from ..errors import IdempotencyKeyInUse, IdempotencyKeyReused
from ..sessions.session import IdempotencyKey


class InFlightKeys:
    """The keys of calls under way, with their digests. A process that ends releases them all."""

    def __init__(self) -> None:
        self._digests: dict[IdempotencyKey, str] = {}

    @contextlib.contextmanager
    def held(self, key: IdempotencyKey, digest: str) -> Iterator[None]:
        """Hold a key for as long as its call runs.

        Raises IdempotencyKeyInUse while the same call runs, IdempotencyKeyReused for another one.
        """
        running = self._digests.get(key)
        if running is not None:
            raise IdempotencyKeyInUse if running == digest else IdempotencyKeyReused
        self._digests[key] = digest
        try:
            yield
        finally:
            del self._digests[key]


class SessionLocks:
    """A lock for each session that calls work on, for as long as there are such calls.

    A tenant waits for its own calls alone: whoever names another's session waits for nobody.
    """

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def of(self, session_id: str, tenant: str) -> AsyncIterator[None]:
        """Wait for the calls that came before."""
        named = session_id, tenant
        lock, users = self._locks.get(named, (asyncio.Lock(), 0))
        self._locks[named] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(named)
            if users > 1:
                self._locks[named] = lock, users - 1

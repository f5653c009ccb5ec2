"""Sessions for callers that must not block: what is cached at once, the rest by threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..sessions.keeper import SessionKeeper
from ..sessions.session import IdempotencyKey, KeptAnswer, KeptSupport, Session

Result = TypeVar("Result")
READERS = 4


class Storage:
    """The session calls that the road takes, none of which holds up the event loop."""

    def __init__(self, sessions: SessionKeeper) -> None:
        self._sessions = sessions
        self._readers = ThreadPoolExecutor(READERS, "inkling-store-read")
        self._writer = ThreadPoolExecutor(sessions.n_writers, "inkling-store-write")
        self.claims = sessions.claims

    def close(self) -> None:
        """Finish what is being read and written."""
        self._readers.shutdown()
        self._writer.shutdown()

    async def touch(self, session_id: str, tenant: str) -> Session:
        """`SessionKeeper.touch`."""
        cached = self._sessions.touch_cached(session_id, tenant)
        if cached is not None:
            return cached
        return await self._reading(lambda: self._sessions.touch(session_id, tenant))

    async def read(self, session_id: str, tenant: str) -> Session:
        """`SessionKeeper.read`."""
        return await self._reading(lambda: self._sessions.read(session_id, tenant))

    async def support_of(self, session: Session) -> KeptSupport | None:
        """`SessionKeeper.support_of`."""
        return await self._reading(lambda: self._sessions.support_of(session))

    async def kept_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """`SessionKeeper.kept_answer`."""
        return await self._reading(lambda: self._sessions.kept_answer(key))

    async def write(
        self, session: Session, support: KeptSupport | None, answer: KeptAnswer | None
    ) -> float:
        """Store a new session, or the next version of one; gives the seconds that it took."""

        def write() -> float:
            began = time.perf_counter()
            keep = self._sessions.put if session.version == 1 else self._sessions.replace
            keep(session, support, answer)
            return time.perf_counter() - began

        return await asyncio.get_running_loop().run_in_executor(self._writer, write)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Something else that waits for the store."""
        return await self._reading(work)

    async def _reading(self, read: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

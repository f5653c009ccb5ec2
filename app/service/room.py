"""Memory that calls share: whoever needs much of it waits until there is room."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from ..engine.fair import FairQueue


@dataclass(frozen=True, eq=False)
class _Turn:
    """A tenant that waits for some bytes."""

    tenant: str
    wanted: int
    future: Future[None] = field(default_factory=Future)

    @property
    def flow(self) -> tuple[str, bool]:
        return self.tenant, False


class Room:
    """A number of bytes, given out to tenants in turns, by how much each had."""

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = self._free = n_bytes
        self._lock = threading.Lock()
        self._waiting = FairQueue[_Turn]()

    async def take(self, n_bytes: int, tenant: str) -> int:
        """Wait for room; tells how much was taken, which is never more than there is in all."""
        turn = _Turn(tenant, min(n_bytes, self._n_bytes))
        with self._lock:
            self._waiting.put(turn.flow, turn)
            self._give_out()
        if turn.future.done():
            return turn.wanted
        try:
            await asyncio.wrap_future(turn.future)
        except asyncio.CancelledError:
            with self._lock:
                # Its turn may have come just before it gave up.
                if not turn.future.cancel():
                    self._free += turn.wanted
                self._give_out()
            raise
        return turn.wanted

    def give_back(self, n_bytes: int) -> None:
        """Return what was taken, from any thread."""
        with self._lock:
            self._free += n_bytes
            self._give_out()

    def _give_out(self) -> None:
        while (turn := self._waiting.next(lambda _: True)) is not None:
            if turn.wanted > self._free and not turn.future.cancelled():
                return
            self._waiting.take(turn.flow, turn)
            given = turn.wanted if turn.future.set_running_or_notify_cancel() else 0
            self._waiting.done(turn.flow, given)
            if given:
                self._free -= given
                turn.future.set_result(None)

"""Memory that calls share: whoever needs much of it waits until there is room."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future


class Room:
    """A number of bytes, given out in the order in which they were asked for."""

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = self._free = n_bytes
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    async def take(self, n_bytes: int) -> int:
        """Wait for room; tells how much was taken, which is never more than there is in all."""
        wanted, turn = min(n_bytes, self._n_bytes), Future[None]()
        with self._lock:
            self._waiting.append((wanted, turn))
            self._give_out()
        if turn.done():
            return wanted
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            with self._lock:
                # Its turn may have come just before it gave up.
                if not turn.cancel():
                    self._free += wanted
                self._give_out()
            raise
        return wanted

    def give_back(self, n_bytes: int) -> None:
        """Return what was taken, from any thread."""
        with self._lock:
            self._free += n_bytes
            self._give_out()

    def _give_out(self) -> None:
        while self._waiting:
            wanted, turn = self._waiting[0]
            if wanted > self._free and not turn.cancelled():
                return
            self._waiting.popleft()
            if turn.set_running_or_notify_cancel():
                self._free -= wanted
                turn.set_result(None)

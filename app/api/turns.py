"""How many calls begin in one turn of the event loop, so that turns stay short under overload."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ..engine.fair import FairQueue, Flow

BEGIN_AT_ONCE = 12
"""Reading a small call, and handing it to the engine, takes about a millisecond. With fewer a turn
the engine runs dry: between two turns the threads that compute have the interpreter."""


@dataclass(frozen=True, eq=False)
class _Turn:
    """A call that waits, and what tells it that it may begin."""

    flow: Flow
    comes: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Turns:
    """Calls that wait to begin. A few begin in each turn of the event loop, tenants by turns."""

    def __init__(self) -> None:
        self._waiting = FairQueue[_Turn]()
        self._begun = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def wait(self, tenant: str) -> None:
        """Return when a call of a tenant may begin."""
        if not len(self._waiting) and self._begun < BEGIN_AT_ONCE:
            self._begin()
            return
        turn = _Turn((tenant, False))
        self._waiting.put(turn.flow, turn)
        try:
            await turn.comes
        except asyncio.CancelledError:
            if turn.comes.cancelled():
                self._waiting.drop(turn.flow, turn)
            raise

    def _begin(self) -> None:
        self._begun += 1
        if self._begun == 1:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Let those begin whose turn it is now."""
        self._begun = 0
        while self._begun < BEGIN_AT_ONCE:
            turn = self._waiting.next(lambda _: True)
            if turn is None:
                return
            self._waiting.take(turn.flow, turn)
            self._waiting.done(turn.flow, 1.0)
            if not turn.comes.cancelled():
                self._begin()
                turn.comes.set_result(None)

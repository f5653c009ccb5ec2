"""Whose turn it is: waiting items of several tenants, served by the time that each has had.

Start-time fair queueing (Goyal, Vin and Cheng, 1997), with the measured time of an item in place of
its length: who had the least time is next, and who comes anew begins where the others are, so that
nobody saves up time by being idle. Where there is no room, the newest item of whoever has the most
waiting gives way (longest queue drop; Suter et al., 1998).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Flow = tuple[str, bool]
"""A tenant, and whether it is about its long work, which has turns of its own."""


@dataclass
class _Flow(Generic[Item]):
    """What a flow has waiting and running, and the ``seconds`` it had, as the queue counts."""

    seconds: float
    waiting: deque[Item] = field(default_factory=deque)
    running: int = 0


class FairQueue(Generic[Item]):
    """Items that wait, by flow. It is not safe to share between threads without a lock."""

    def __init__(self) -> None:
        self._flows: dict[Flow, _Flow[Item]] = {}
        self._now = 0.0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Item]:
        """All that waits: flow by flow, whose turn it is first."""
        for flow in sorted(self._flows.values(), key=_turn):
            yield from flow.waiting

    def put(self, flow: Flow, item: Item) -> None:
        """Let an item wait."""
        self._known(flow).waiting.append(item)
        self._length += 1

    def next(self, may_run: Callable[[Item], bool]) -> Item | None:
        """The first item, of whoever's turn it is, that may run; it goes on waiting."""
        return next((item for item in self if may_run(item)), None)

    def take(self, flow: Flow, item: Item) -> None:
        """An item no longer waits, but runs. Raises ValueError where it does not wait."""
        own = self._known(flow)
        own.waiting.remove(item)
        self._length -= 1
        own.running += 1
        self._now = max(self._now, own.seconds)

    def done(self, flow: Flow, seconds: float) -> None:
        """An item of a flow has run, for so long."""
        own = self._flows[flow]
        own.running -= 1
        own.seconds += seconds
        self._forget(flow)

    def drop(self, flow: Flow, item: Item) -> None:
        """An item waits no longer. Raises ValueError where it did not."""
        self._known(flow).waiting.remove(item)
        self._length -= 1
        self._forget(flow)

    def runs(self, flow: Flow) -> bool:
        """Whether something of a flow runs."""
        return flow in self._flows and self._flows[flow].running > 0

    def longest(self) -> tuple[Flow, Item]:
        """Who has the most waiting, and the newest of it."""
        flow, longest = max(self._flows.items(), key=lambda entry: len(entry[1].waiting))
        return flow, longest.waiting[-1]

    def _known(self, flow: Flow) -> _Flow[Item]:
        if flow not in self._flows:
            self._flows[flow] = _Flow(self._now)
        return self._flows[flow]

    def _forget(self, flow: Flow) -> None:
        own = self._flows[flow]
        # One that had more than its share has to wait for the others before it is forgotten.
        if not own.waiting and not own.running and own.seconds <= self._now:
            del self._flows[flow]


def _turn(flow: _Flow[Item]) -> tuple[float, int]:
    return flow.seconds, flow.running

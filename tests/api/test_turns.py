"""Calls begin in turns: a few in each turn of the event loop, and no tenant behind another's."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

from inkling.api.turns import BEGIN_AT_ONCE, Turns


class Calls:
    """Calls that wait for their turn, and the order in which they began."""

    def __init__(self) -> None:
        self.turns, self.begun = Turns(), list[str]()

    def come(self, tenant: str, number: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._one(tenant)) for _ in range(number)]

    async def _one(self, tenant: str) -> None:
        await self.turns.wait(tenant)
        self.begun.append(tenant)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_no_more_than_a_few_begin_in_one_turn_of_the_loop() -> None:
    async def test() -> None:
        calls = Calls()
        waiting = calls.come("one", 5 * BEGIN_AT_ONCE)
        numbers = [0]
        while len(calls.begun) < len(waiting):
            await asyncio.sleep(0)
            numbers.append(len(calls.begun))
        each = [after - before for before, after in itertools.pairwise(numbers)]
        assert max(each) == BEGIN_AT_ONCE
        assert len(calls.turns) == 0

    run(test())


def test_a_tenant_does_not_wait_behind_all_calls_of_another() -> None:
    async def test() -> None:
        calls = Calls()
        greedy = calls.come("greedy", 10 * BEGIN_AT_ONCE)
        await asyncio.sleep(0)
        modest = calls.come("modest", 1)
        await asyncio.gather(*greedy, *modest)
        assert calls.begun.index("modest") <= 3 * BEGIN_AT_ONCE

    run(test())


def test_whoever_gives_up_takes_no_turn() -> None:
    async def test() -> None:
        calls = Calls()
        waiting = calls.come("one", 2 * BEGIN_AT_ONCE)
        await asyncio.sleep(0)
        assert len(calls.turns) == BEGIN_AT_ONCE
        for task in waiting[BEGIN_AT_ONCE:]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert len(calls.turns) == 0
        assert len(calls.begun) == BEGIN_AT_ONCE
        await asyncio.gather(*calls.come("one", 1))

    run(test())

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from inkling.service.room import Room


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_room_is_given_in_the_order_in_which_it_was_asked_for() -> None:
    async def test() -> None:
        room, order = Room(10), []

        async def wants(name: str, n_bytes: int) -> None:
            await room.take(n_bytes, "one")
            order.append(name)

        await room.take(8, "one")
        waiting = [asyncio.create_task(wants(*each)) for each in (("large", 9), ("small", 1))]
        await settled()
        assert order == []
        room.give_back(8)
        await settled()
        assert order == ["large", "small"]
        await asyncio.gather(*waiting)

    run(test())


def test_tenants_have_turns_by_how_much_each_had() -> None:
    async def test() -> None:
        room, order = Room(10), []

        async def wants(tenant: str) -> None:
            taken = await room.take(10, tenant)
            order.append(tenant)
            room.give_back(taken)

        await room.take(10, "greedy")
        tenants = ["greedy"] * 3 + ["modest"]
        waiting = [asyncio.create_task(wants(tenant)) for tenant in tenants]
        await settled()
        room.give_back(10)
        await asyncio.gather(*waiting)
        assert order.index("modest") < 2

    run(test())


def test_what_is_larger_than_all_room_takes_all_of_it() -> None:
    async def test() -> None:
        room = Room(10)
        assert await room.take(1000, "one") == 10
        room.give_back(10)
        assert await room.take(3, "one") == 3

    run(test())


def test_whoever_gives_up_leaves_room_for_those_behind() -> None:
    async def test() -> None:
        room = Room(10)
        await room.take(5, "one")
        large, small = (
            asyncio.create_task(room.take(9, "one")),
            asyncio.create_task(room.take(4, "one")),
        )
        await settled()
        assert not small.done()
        large.cancel()
        await settled()
        assert small.result() == 4
        # One that gives up just when its turn has come hands it on.
        late = asyncio.create_task(room.take(9, "one"))
        await settled()
        room.give_back(9)
        late.cancel()
        await settled()
        assert await asyncio.wait_for(room.take(10, "one"), 10) == 10

    run(test())

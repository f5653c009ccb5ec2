"""The one deadline of a call: whatever it waits for, it ends with this."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ..errors import DeadlineExceeded


@contextlib.asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[float]:
    """Give up what runs inside after ``seconds``; gives the moment of that, by the loop's clock.

    Raises DeadlineExceeded, which names ``what`` took too long.
    """
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield asyncio.get_running_loop().time() + seconds
    except TimeoutError:
        if not timeout.expired():
            raise
        raise DeadlineExceeded(what, seconds) from None

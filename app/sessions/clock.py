"""The time of day as sessions count it: nobody who sets the machine's clock ends them."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]


def advancing_clock(wall: Clock = time.time, steady: Clock = time.monotonic) -> Clock:
    """A clock that reads ``wall`` once, now, and from then on moves as ``steady`` does.

    Where the machine's clock is set forward nothing ends early, and where it is set back no end
    moves backwards. Times that are told drift from the machine's until the process starts anew.
    """
    began = wall() - steady()
    return lambda: began + steady()

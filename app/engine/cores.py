"""How many cores one piece of work may use: what is free at the moment, looked at at every step.

Threads inside an operation wait for each other at its end. With a core to themselves that halves
the time; as soon as something else runs on one of the cores, all wait for the one that does not
get it, and a step takes many times as long as on one core.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

RUNNING = Path("/proc/loadavg")
"""Where Linux tells how many threads of the whole machine run or want to."""

SPIN_SECONDS = 0.005
"""About how long threads of an operation wait awake for the next one."""


class Cores:
    """The cores of one machine, for the threads of one engine."""

    def __init__(self, most: int, idle: Callable[[], int], running: Path = RUNNING) -> None:
        """``most`` are those that the engine may use; ``idle`` tells its threads that rest."""
        self._most, self._idle, self._running = most, idle, running
        self._lately, self._used_at = 1, -math.inf

    def free(self) -> int:
        """How many the calling thread may compute on now, its own among them."""
        if self._most == 1 or not self._idle():
            return 1
        # Threads that helped a moment ago still spin for more to do.
        own = self._lately if time.monotonic() - self._used_at < SPIN_SECONDS else 1
        others = max(0, _runnable(self._running) - own)
        return max(1, min(self._most, 1 + self._idle(), (os.cpu_count() or 1) - others))

    def take(self) -> None:
        """Have the calling thread's operations use what is free now."""
        wanted = self.free()
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)
        self._lately, self._used_at = wanted, math.inf

    def give_back(self) -> None:
        """Have them use one core again."""
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
            self._used_at = time.monotonic()


def _runnable(running: Path) -> int:
    """Threads of the machine that run or want to, the calling one among them.

    Where that cannot be told, all cores count as taken.
    """
    try:
        return int(running.read_text().split()[3].split("/")[0])
    except (OSError, ValueError, IndexError):
        return os.cpu_count() or 1

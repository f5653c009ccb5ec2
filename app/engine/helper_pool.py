"""Sharing one piece of work between the thread that has it and threads that are idle.

Each thread computes with one intra-op thread. Parts are taken one after another by whoever is
free, so that a thread that the operating system holds up delays no more than the part it took.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Part = TypeVar("Part")


class HelperPool:
    """Threads that help where ``idle`` says that so many of them may."""

    def __init__(self, helpers: int, idle: Callable[[], int], on_start: Callable[[], None]) -> None:
        """``on_start`` runs once in each helper, before its first work."""
        self._idle = idle
        self._offers: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(
                target=self._help, args=(on_start,), name=f"inkling-helper-{number}", daemon=True
            )
            for number in range(helpers)
        ]
        for thread in self._threads:
            thread.start()

    def free_threads(self) -> int:
        """How many threads may compute now, the calling one among them."""
        return 1 + min(self._idle(), len(self._threads))

    def map(self, work: Callable[[int], Part], parts: int) -> list[Part]:
        """The results of ``work`` for 0 to ``parts - 1``, in order.

        Raises what ``work`` raises for the first of the parts that failed.
        """
        helpers = min(self.free_threads(), parts) - 1
        if helpers < 1:
            return [work(part) for part in range(parts)]
        untaken = iter(range(parts))
        results: list[Part | None] = [None] * parts
        failures: dict[int, BaseException] = {}
        done: queue.SimpleQueue[int] = queue.SimpleQueue()

        def take() -> None:
            for part in untaken:
                try:
                    results[part] = work(part)
                except BaseException as failure:  # noqa: BLE001 - raised by the caller
                    failures[part] = failure
                done.put(part)

        for _ in range(helpers):
            self._offers.put(take)
        take()
        for _ in range(parts):
            done.get()
        if failures:
            raise failures[min(failures)]
        return results  # type: ignore[return-value]

    def close(self) -> None:
        """Finish what runs and stop."""
        for _ in self._threads:
            self._offers.put(None)
        for thread in self._threads:
            thread.join()

    def _help(self, on_start: Callable[[], None]) -> None:
        on_start()
        while (offer := self._offers.get()) is not None:
            offer()
            # What it worked on is not kept until the next one.
            del offer


def shards_of(rows: int, shards: int) -> list[slice]:
    """``rows`` in even shards, of one row at least, in order."""
    shards = max(1, min(shards, rows))
    edges = [rows * shard // shards for shard in range(shards + 1)]
    return [slice(*pair) for pair in itertools.pairwise(edges)]

"""A bounded queue in front of a few compute threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from ..errors import DeadlineExceeded, Unavailable

Result = TypeVar("Result")

RETRY_AFTER_SECONDS = 1.0


class Workers:
    """Compute threads with a bound on how many calls may wait for them."""

    def __init__(self, threads: int, queue_limit: int, on_start: Callable[[], None]) -> None:
        """``on_start`` runs once in each thread, before its first call."""
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="inkling-compute", initializer=on_start
        )
        self._places = threading.BoundedSemaphore(threads + queue_limit)
        self._waiting_limit = queue_limit

    def run(
        self, what: str, work: Callable[[], Result], deadline_seconds: float
    ) -> tuple[Result, float]:
        """Run ``work`` on a compute thread; return its result and the seconds it waited.

        Raises Unavailable when the queue is full, DeadlineExceeded when no result came in time
        (work that has not begun by then never does), and whatever ``work`` raises.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable(
                f"{self._waiting_limit} calls are waiting already", RETRY_AFTER_SECONDS
            )
        asked = time.perf_counter()

        def timed() -> tuple[Result, float]:
            waited = time.perf_counter() - asked
            return work(), waited

        future = self._pool.submit(timed)
        future.add_done_callback(lambda _: self._places.release())
        try:
            return future.result(timeout=deadline_seconds)
        except FutureTimeout:
            if future.done():
                raise
            future.cancel()
            raise DeadlineExceeded(what, deadline_seconds) from None

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

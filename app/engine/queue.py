"""A bounded queue in front of a few compute threads, which take jobs of one batch key together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..errors import Unavailable
from .handle import Handle

RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True)
class BatchKey:
    """What jobs have in common that can be computed together.

    ``task`` names the use case, ``steps`` are those of the inner loop where it runs, ``shape`` is
    whatever else has to be equal. A batch has ``max_size`` jobs at most.
    """

    task: str
    handle: Handle
    steps: int = 0
    shape: tuple[int | str, ...] = ()
    max_size: int = field(default=1, compare=False)


@dataclass(frozen=True, eq=False)
class Job:
    """One call's ``work``, where it waits and where its result goes; asked for at ``asked``."""

    key: BatchKey
    work: Any
    asked: float = field(default_factory=time.perf_counter)
    future: Future[Any] = field(default_factory=Future)


@dataclass(frozen=True)
class BatchStats:
    """How many jobs of a task were done, in how many batches."""

    jobs: int = 0
    batches: int = 0


Compute = Callable[[BatchKey, Sequence[Job]], Sequence[Any]]
"""Gives a result for each job, or the exception that this one job ends with."""


class ComputeQueue:
    """Compute threads with a bound on how many jobs may wait for them."""

    def __init__(
        self, threads: int, max_waiting: int, compute: Compute, on_start: Callable[[], None]
    ) -> None:
        """``on_start`` runs once in each thread, before its first batch."""
        self._compute, self._max_waiting = compute, max_waiting
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._parked: list[threading.Lock] = []
        self._running, self._closed = 0, False
        self._stats: dict[str, BatchStats] = {}
        self._threads = [
            threading.Thread(
                target=self._serve, args=(on_start,), name=f"inkling-compute-{index}", daemon=True
            )
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, key: BatchKey, work: Any) -> Future[Any]:
        """Have work done; the future gives its result, or raises what it ended with.

        A free thread starts at once, with whatever is there. A future that is cancelled before
        then gives up its place. Raises Unavailable when the queue is full.
        """
        job = Job(key, work)
        with self._lock:
            if self._closed:
                raise Unavailable("the server is stopping", RETRY_AFTER_SECONDS)
            if len(self._waiting) >= self._max_waiting + self._free():
                raise Unavailable(
                    f"{self._max_waiting} calls are waiting already", RETRY_AFTER_SECONDS
                )
            self._waiting.append(job)
            # The thread that was parked last: what it works with is still in its core's caches.
            if self._parked:
                self._parked.pop().release()
        # By its future alone: one that knew its job would keep what it worked on.
        job.future.add_done_callback(self._drop_cancelled)
        return job.future

    def idle(self) -> int:
        """How many threads have nothing to do, and nothing that waits for them."""
        return max(0, self._free() - len(self._waiting))

    def waiting(self) -> int:
        """How many jobs wait for a thread."""
        return len(self._waiting)

    def stats(self) -> dict[str, BatchStats]:
        """What was done so far, by task."""
        with self._lock:
            return dict(self._stats)

    def close(self) -> None:
        """Finish what runs, refuse what waits."""
        with self._lock:
            self._closed = True
            dropped = list(self._waiting)
            self._waiting.clear()
            while self._parked:
                self._parked.pop().release()
        for job in dropped:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(Unavailable("the server is stopping", RETRY_AFTER_SECONDS))
        for thread in self._threads:
            thread.join()

    def _drop_cancelled(self, future: Future[Any]) -> None:
        if future.cancelled():
            with self._lock:
                for job in self._waiting:
                    if job.future is future:
                        self._waiting.remove(job)
                        break

    def _free(self) -> int:
        return len(self._threads) - self._running

    def _serve(self, on_start: Callable[[], None]) -> None:
        on_start()
        wake_up = threading.Lock()
        wake_up.acquire()
        while batch := self._next_batch(wake_up):
            self._finish(batch)
            # What it worked on is not kept until the next one.
            del batch

    def _finish(self, batch: Sequence[Job]) -> None:
        results = self._results(batch)
        with self._lock:
            self._running -= 1
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    def _next_batch(self, wake_up: threading.Lock) -> list[Job]:
        """The job that waits the longest, and others of its key; empty when the queue is closed.

        ``wake_up`` is the calling thread's own, and held: releasing it wakes the thread.
        """
        with self._lock:
            while True:
                while not self._waiting and not self._closed:
                    self._parked.append(wake_up)
                    self._lock.release()
                    wake_up.acquire()
                    self._lock.acquire()
                if not self._waiting:
                    return []
                key = self._waiting[0].key
                taken = [job for job in self._waiting if job.key == key][: key.max_size]
                for job in taken:
                    self._waiting.remove(job)
                if batch := [job for job in taken if job.future.set_running_or_notify_cancel()]:
                    self._running += 1
                    before = self._stats.get(key.task, BatchStats())
                    self._stats[key.task] = BatchStats(before.jobs + len(batch), before.batches + 1)
                    return batch

    def _results(self, batch: Sequence[Job]) -> Sequence[Any]:
        """A result or an exception for each job; those that fail together are done alone."""
        try:
            results = self._compute(batch[0].key, batch)
            if len(results) == len(batch):
                return results
            raise RuntimeError(f"expected {len(batch)} results of a batch, got {len(results)}")
        except BaseException as failure:  # noqa: BLE001 - raised by the callers
            if len(batch) == 1:
                return [failure]
        return [result for job in batch for result in self._results([job])]

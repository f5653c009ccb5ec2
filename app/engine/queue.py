"""A bounded queue in front of a few compute threads, which take jobs of one batch key together.

Tenants have turns by the time that their jobs took. Long jobs never have all threads (where there
are two or more): for a second long one, the last thread is left to short ones while these come.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..errors import Unavailable
from .fair import FairQueue, Flow
from .handle import Handle

RETRY_AFTER_SECONDS = 1.0
LONG_SECONDS, ENDLESS_SECONDS = 0.1, 1.0
"""Jobs that are expected to take longer leave a thread to others: while short ones come, always."""
SHORT_ONES_COME_SECONDS = 5.0
"""How long after a short job others are expected."""
LEARNED_FROM_LAST = 0.2
"""Share of the last batch in what jobs of its kind are expected to take."""


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
    """One call's ``work``, where it waits and where its result goes; asked for at ``asked``.

    It is a ``tenant``'s, of ``size`` images, and ``expected`` to take so many seconds.
    """

    key: BatchKey
    work: Any
    tenant: str = ""
    size: int = 1
    expected: float = 0.0
    asked: float = field(default_factory=time.perf_counter)
    future: Future[Any] = field(default_factory=Future)

    @property
    def flow(self) -> Flow:
        """Whose turn it has."""
        return self.tenant, self.expected > LONG_SECONDS


@dataclass(frozen=True)
class BatchStats:
    """How many jobs of a task were done, in how many batches, and how many of these by size."""

    jobs: int = 0
    batches: int = 0
    sizes: Counter[int] = field(default_factory=Counter, compare=False)

    def plus(self, size: int) -> BatchStats:
        """With one more batch."""
        return BatchStats(self.jobs + size, self.batches + 1, self.sizes + Counter([size]))


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
        self._waiting = FairQueue[Job]()
        self._parked: list[threading.Lock] = []
        self._running, self._running_long, self._closed = 0, 0, False
        self._stats: dict[str, BatchStats] = {}
        self._seconds_of: dict[tuple[str, int], float] = {}
        self._short_at = -SHORT_ONES_COME_SECONDS
        self._most_long = max(1, threads - 1)
        self._threads = [
            threading.Thread(
                target=self._serve, args=(on_start,), name=f"inkling-compute-{index}", daemon=True
            )
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, key: BatchKey, work: Any, tenant: str = "", size: int = 1) -> Future[Any]:
        """Have work of so many images done; the future gives its result, or raises its end.

        A free thread starts at once, with whatever is there. A future that is cancelled before
        then gives up its place. Raises Unavailable when the queue is full; where another tenant
        has more in it, that one's newest job ends so instead.
        """
        shed = None
        with self._lock:
            if self._closed:
                raise Unavailable("the server is stopping", RETRY_AFTER_SECONDS)
            if self._is_full():
                shed = self._give_way_to(tenant)
            expected = size * self._seconds_of.get(_kind(key), 0.0)
            job = Job(key, work, tenant, size, expected)
            self._waiting.put(job.flow, job)
            if expected <= LONG_SECONDS:
                self._short_at = job.asked
            # The thread that was parked last: what it works with is still in its core's caches.
            if self._parked:
                self._parked.pop().release()
        if shed is not None and shed.future.set_running_or_notify_cancel():
            shed.future.set_exception(self._full())
        # By its future alone: one that knew its job would keep what it worked on.
        job.future.add_done_callback(self._drop_cancelled)
        return job.future

    def has_room(self, tenant: str) -> bool:
        """Whether a further job of a tenant would be taken."""
        with self._lock:
            if not self._is_full():
                return True
            return bool(len(self._waiting)) and self._waiting.longest()[0][0] != tenant

    def idle(self) -> int:
        """How many threads have nothing to do, and nothing that waits for them."""
        if not len(self._waiting):
            return self._free()
        with self._lock:
            waiting = sum(map(self._may_run, self._waiting))
        return max(0, self._free() - waiting)

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
            for job in dropped:
                self._waiting.drop(job.flow, job)
            while self._parked:
                self._parked.pop().release()
        for job in dropped:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(Unavailable("the server is stopping", RETRY_AFTER_SECONDS))
        for thread in self._threads:
            thread.join()

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._max_waiting + self._free()

    def _give_way_to(self, tenant: str) -> Job:
        """The job that gives its place to one of a tenant. Raises Unavailable if none does."""
        if not len(self._waiting):
            raise self._full()
        longest, newest = self._waiting.longest()
        if longest[0] == tenant:
            raise self._full()
        self._waiting.drop(longest, newest)
        return newest

    def _full(self) -> Unavailable:
        return Unavailable(f"{self._max_waiting} calls are waiting already", RETRY_AFTER_SECONDS)

    def _drop_cancelled(self, future: Future[Any]) -> None:
        if future.cancelled():
            with self._lock:
                for job in self._waiting:
                    if job.future is future:
                        self._waiting.drop(job.flow, job)
                        break

    def _free(self) -> int:
        return len(self._threads) - self._running

    def _may_run(self, job: Job) -> bool:
        if job.expected <= LONG_SECONDS or self._running_long < self._most_long:
            return True
        short_ones_come = time.perf_counter() - self._short_at < SHORT_ONES_COME_SECONDS
        return job.expected <= ENDLESS_SECONDS and not short_ones_come

    def _serve(self, on_start: Callable[[], None]) -> None:
        on_start()
        wake_up = threading.Lock()
        wake_up.acquire()
        while batch := self._next_batch(wake_up):
            self._finish(batch)
            # What it worked on is not kept until the next one.
            del batch

    def _finish(self, batch: Sequence[Job]) -> None:
        began = time.perf_counter()
        results = self._results(batch)
        self._count(batch, time.perf_counter() - began)
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    def _next_batch(self, wake_up: threading.Lock) -> list[Job]:
        """The job whose turn it is, and others of its key; empty when the queue is closed.

        ``wake_up`` is the calling thread's own, and held: releasing it wakes the thread.
        """
        with self._lock:
            while True:
                first = self._waiting.next(self._may_run)
                if first is None:
                    if self._closed:
                        return []
                    self._parked.append(wake_up)
                    self._lock.release()
                    wake_up.acquire()
                    self._lock.acquire()
                    continue
                if batch := self._taken(first):
                    return batch

    def _taken(self, first: Job) -> list[Job]:
        """A job and others of its key that are as long, but for cancelled ones.

        Another tenant whose jobs run elsewhere has its share, and holds this one up by no more.
        """
        is_long = first.expected > LONG_SECONDS
        same = [
            job
            for job in self._waiting
            if job.key == first.key
            and job.flow[1] == is_long
            and job is not first
            and (job.flow == first.flow or not self._waiting.runs(job.flow))
        ]
        batch = []
        for job in [first, *same[: first.key.max_size - 1]]:
            self._waiting.take(job.flow, job)
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
            else:
                self._waiting.done(job.flow, 0.0)
        if batch:
            self._running += 1
            self._running_long += is_long
            before = self._stats.get(first.key.task, BatchStats())
            self._stats[first.key.task] = before.plus(len(batch))
        return batch

    def _count(self, batch: Sequence[Job], seconds: float) -> None:
        """A batch has run: who had its time, and what the next ones are expected to take."""
        with self._lock:
            self._running -= 1
            self._running_long -= batch[0].flow[1]
            for job in batch:
                self._waiting.done(job.flow, seconds / len(batch))
            kind = _kind(batch[0].key)
            each = seconds / sum(job.size for job in batch)
            known = self._seconds_of.get(kind, each)
            self._seconds_of[kind] = known + LEARNED_FROM_LAST * (each - known)
            # A job that may run now may have been passed over before.
            if len(self._waiting) and self._parked:
                self._parked.pop().release()

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


def _kind(key: BatchKey) -> tuple[str, int]:
    """Jobs that take about as long for each of their images."""
    return key.task, id(key.handle)

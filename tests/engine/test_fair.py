"""Turns by the time that each tenant had."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
from inkling.engine.fair import FairQueue
from inkling.engine.fair_threads import FairThreads
from inkling.engine.handle import Handle
from inkling.engine.queue import BatchKey, ComputeQueue, Job
from inkling.errors import Unavailable

HANDLE = cast("Handle", "an initialization")


def served(queue: FairQueue[str], seconds: dict[str, float], count: int) -> list[str]:
    """Whose items are served, one after another, when those of each take so long."""
    turns = []
    for _ in range(count):
        item = queue.next(lambda _: True)
        assert item is not None
        flow = item, False
        queue.take(flow, item)
        queue.done(flow, seconds[item])
        turns.append(item)
    return turns


def test_each_has_the_same_time_however_many_items_it_takes() -> None:
    queue = FairQueue[str]()
    for _ in range(20):
        queue.put(("long", False), "long")
        queue.put(("short", False), "short")
    turns = served(queue, {"long": 4.0, "short": 1.0}, 20)
    assert turns.count("short") == 16
    assert "short" in turns[:2]


def test_who_comes_anew_saved_nothing_up_and_waits_for_no_backlog() -> None:
    queue = FairQueue[str]()
    for _ in range(20):
        queue.put(("greedy", False), "greedy")
    served(queue, {"greedy": 1.0}, 10)
    for _ in range(5):
        queue.put(("new", False), "new")
    turns = served(queue, {"greedy": 1.0, "new": 1.0}, 6)
    assert turns.count("new") == 3
    assert "new" in turns[:2]


class Held:
    """Jobs run when they are let go; ``order`` tells whose ran."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.order: list[str] = []

    def __call__(self, _: BatchKey, jobs: Sequence[Job]) -> list[Any]:
        self.entered.set()
        self.open.wait(30)
        self.order += [job.tenant for job in jobs]
        return [None] * len(jobs)


def test_the_newest_job_of_who_has_the_most_gives_way() -> None:
    held = Held()
    queue = ComputeQueue(1, 3, held, on_start=lambda: None)
    key = BatchKey("task", HANDLE)
    queue.submit(key, None, "greedy")
    held.entered.wait(30)
    waiting = [queue.submit(key, None, "greedy") for _ in range(3)]
    assert not queue.has_room("greedy")
    with pytest.raises(Unavailable):
        queue.submit(key, None, "greedy")
    assert queue.has_room("other")
    other = queue.submit(key, None, "other")
    assert isinstance(waiting[-1].exception(30), Unavailable)
    held.open.set()
    other.result(30)
    queue.close()
    assert held.order[:3].count("other") == 1


def test_a_tenant_is_held_up_by_no_jobs_of_one_that_has_its_share() -> None:
    entered, doors = threading.Semaphore(0), [threading.Event(), threading.Event()]
    batches: list[list[str]] = []

    def compute(_: BatchKey, jobs: Sequence[Job]) -> list[Any]:
        batches.append([job.tenant for job in jobs])
        if isinstance(jobs[0].work, threading.Event):
            entered.release()
            jobs[0].work.wait(30)
        return [None] * len(jobs)

    queue = ComputeQueue(2, 10, compute, on_start=lambda: None)
    key = BatchKey("task", HANDLE, max_size=8)
    for door in doors:
        queue.submit(key, door, "greedy")
        entered.acquire(timeout=30)
    ended = [queue.submit(key, None, "greedy") for _ in range(4)]
    ended += [queue.submit(key, None, tenant) for tenant in ("one", "two")]
    doors[0].set()
    for future in ended:
        future.result(30)
    doors[1].set()
    queue.close()
    # Those of whom nothing runs go together, and the other one's by themselves.
    assert sorted(map(sorted, batches[2:])) == [["greedy"] * 4, ["one", "two"]]


def test_long_jobs_leave_a_thread_to_short_ones() -> None:
    begun, release = threading.Semaphore(0), threading.Event()

    def compute(key: BatchKey, jobs: Sequence[Job]) -> list[Any]:
        if key.task == "long" and jobs[0].work == "held":
            begun.release()
            release.wait(30)
        elif key.task == "long":
            threading.Event().wait(0.02)  # what the queue is to learn: 20 ms for an image
        return [None] * len(jobs)

    queue = ComputeQueue(2, 10, compute, on_start=lambda: None)
    queue.submit(BatchKey("long", HANDLE), None).result(30)
    long_ones = [queue.submit(BatchKey("long", HANDLE), "held", size=1000) for _ in range(2)]
    begun.acquire(timeout=30)
    queue.submit(BatchKey("short", HANDLE), None).result(30)
    assert not begun.acquire(blocking=False)
    release.set()
    for job in long_ones:
        job.result(30)
    queue.close()


def test_threads_are_shared_and_failures_told() -> None:
    threads = FairThreads(1, "test")
    entered, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        entered.set()
        go_on.wait(30)

    threads.submit("greedy", hold)
    entered.wait(30)
    jobs = [threads.submit("greedy", order.append, "greedy") for _ in range(5)]
    jobs.append(threads.submit("other", order.append, "other"))
    failing = threads.submit("other", int, "x")
    go_on.set()
    for job in jobs:
        job.result(30)
    assert order.index("other") <= 2
    with pytest.raises(ValueError, match="invalid literal"):
        failing.result(30)
    threads.close()
    with pytest.raises(RuntimeError):
        threads.submit("other", order.append, "late")

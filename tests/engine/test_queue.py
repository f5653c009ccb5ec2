from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, cast

import pytest
from inkling.engine.handle import Handle
from inkling.engine.queue import BatchKey, BatchStats, ComputeQueue, Job
from inkling.errors import Unavailable

ONE, TWO = cast("Handle", "one initialization"), cast("Handle", "another one")
Batch = Sequence[Any]


class Gate:
    """Work that runs until it is let go."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, works: Batch) -> Batch:
        self.entered.set()
        self.open.wait(30)
        return ["done"] * len(works)


class Tasks:
    """What the tasks of these tests compute, by their names."""

    def __init__(self) -> None:
        self.by_name: dict[str, Callable[[Batch], Batch]] = {}

    def __call__(self, key: BatchKey, jobs: Sequence[Job]) -> Batch:
        return self.by_name[key.task]([job.work for job in jobs])


@pytest.fixture
def tasks() -> Tasks:
    return Tasks()


@pytest.fixture
def queue(tasks: Tasks) -> Iterator[ComputeQueue]:
    started = ComputeQueue(1, 4, tasks, on_start=lambda: None)
    yield started
    started.close()


def key(task: str, max_size: int = 1, handle: Handle = ONE) -> BatchKey:
    return BatchKey(task, handle, max_size=max_size)


@pytest.fixture
def gate(queue: ComputeQueue, tasks: Tasks) -> Gate:
    """The one thread is held up by it."""
    gate = Gate()
    tasks.by_name["gate"] = gate
    queue.submit(key("gate"), None)
    gate.entered.wait(30)
    return gate


def doubled(works: Batch) -> Batch:
    return [2 * work for work in works]


def outcomes(futures: Sequence[Future[Any]]) -> list[Any]:
    return [future.exception(30) or future.result() for future in futures]


def test_work_gives_its_result(queue: ComputeQueue, tasks: Tasks) -> None:
    tasks.by_name["double"] = doubled
    assert queue.submit(key("double"), 2).result(30) == 4


def test_what_work_raises_reaches_its_caller_and_the_next_job_is_done(
    queue: ComputeQueue, tasks: Tasks
) -> None:
    tasks.by_name["invert"] = lambda works: [1 / work for work in works]
    with pytest.raises(ZeroDivisionError):
        queue.submit(key("invert"), 0).result(30)
    assert queue.submit(key("invert"), 2).result(30) == 0.5


def test_a_cancelled_job_never_begins_and_gives_up_its_place(
    queue: ComputeQueue, tasks: Tasks, gate: Gate
) -> None:
    began = threading.Event()

    def begin(works: Batch) -> Batch:
        began.set()
        return works

    tasks.by_name["begin"] = begin
    late = queue.submit(key("begin"), None)
    assert late.cancel()
    assert queue.waiting() == 0
    gate.open.set()
    tasks.by_name["double"] = doubled
    assert queue.submit(key("double"), 1).result(30) == 2
    assert not began.is_set()
    with pytest.raises(CancelledError):
        late.result(30)


def test_a_full_queue_refuses_and_says_when_to_come_back(
    queue: ComputeQueue, tasks: Tasks, gate: Gate
) -> None:
    tasks.by_name["double"] = doubled
    waiting = [queue.submit(key("double"), work) for work in range(4)]
    with pytest.raises(Unavailable) as refused:
        queue.submit(key("double"), 5)
    assert refused.value.retry_after_seconds >= 1
    gate.open.set()
    assert outcomes(waiting) == [0, 2, 4, 6]
    assert queue.submit(key("double"), 5).result(30) == 10


def test_jobs_of_one_key_that_wait_are_done_together(
    queue: ComputeQueue, tasks: Tasks, gate: Gate
) -> None:
    batches: list[list[int]] = []

    def double(works: Batch) -> Batch:
        batches.append(list(works))
        return doubled(works)

    tasks.by_name["double"] = double
    waiting = [queue.submit(key("double", max_size=3), work) for work in (1, 2, 3, 4)]
    gate.open.set()
    assert outcomes(waiting) == [2, 4, 6, 8]
    assert batches == [[1, 2, 3], [4]]
    assert queue.stats()["double"] == BatchStats(jobs=4, batches=2)


def test_jobs_of_another_key_are_not(queue: ComputeQueue, tasks: Tasks, gate: Gate) -> None:
    tasks.by_name["count"] = lambda works: [len(works)] * len(works)
    waiting = [queue.submit(key("count", 9, handle), None) for handle in (ONE, TWO, ONE)]
    gate.open.set()
    assert outcomes(waiting) == [2, 1, 2]


def test_a_bad_job_among_others_fails_alone(queue: ComputeQueue, tasks: Tasks, gate: Gate) -> None:
    tasks.by_name["invert"] = lambda works: [1 / work for work in works]
    waiting = [queue.submit(key("invert", 9), work) for work in (1, 0, 2)]
    gate.open.set()
    one, infinite, half = outcomes(waiting)
    assert (one, half) == (1, 0.5)
    assert isinstance(infinite, ZeroDivisionError)


@pytest.mark.parametrize("results", [[], [1], [1, 2, 3]])
def test_a_wrong_number_of_results_fails_its_jobs_and_the_thread_lives_on(
    queue: ComputeQueue, tasks: Tasks, gate: Gate, results: list[int]
) -> None:
    tasks.by_name["broken"] = lambda works: results if len(works) == 2 else [*works, "more"]
    waiting = [queue.submit(key("broken", 9), None) for _ in range(2)]
    gate.open.set()
    assert all(isinstance(outcome, RuntimeError) for outcome in outcomes(waiting))
    tasks.by_name["double"] = doubled
    assert queue.submit(key("double"), 1).result(30) == 2


def test_stopping_refuses_what_waits_and_finishes_what_runs(tasks: Tasks) -> None:
    queue, gate = ComputeQueue(1, 4, tasks, on_start=lambda: None), Gate()
    tasks.by_name |= {"gate": gate, "double": doubled}
    running = queue.submit(key("gate"), None)
    gate.entered.wait(30)
    waiting = queue.submit(key("double"), 1)
    closer = threading.Thread(target=queue.close)
    closer.start()
    assert isinstance(waiting.exception(30), Unavailable)
    gate.open.set()
    closer.join()
    assert running.result(30) == "done"
    with pytest.raises(Unavailable):
        queue.submit(key("double"), 1)

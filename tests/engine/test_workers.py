from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from inkling.engine.workers import Kind, Taken, Workers
from inkling.errors import DeadlineExceeded, Unavailable


@pytest.fixture
def workers() -> Iterator[Workers]:
    started = Workers(1, queue_limit=4, on_start=lambda: None)
    yield started
    started.close()


def alone(work: Callable[[], Any], what: str = "working") -> Kind[None, Any]:
    return Kind(what, what, lambda _: [work()])


class Gate:
    """Work that runs until it is let go."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        self.open.wait(30)
        return "done"


class Callers:
    """Threads that each make one call; what came of them, in the order they were started."""

    def __init__(self, workers: Workers) -> None:
        self._workers, self._threads = workers, list[threading.Thread]()
        self.results: dict[Any, Any] = {}

    def call(self, kind: Kind[Any, Any], item: Any) -> None:
        def run() -> None:
            try:
                self.results[item] = self._workers.run(kind, item, 30)[0]
            except Exception as failure:  # noqa: BLE001 - looked at by the test
                self.results[item] = failure

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def finish(self) -> None:
        for thread in self._threads:
            thread.join()


def until_waiting(workers: Workers, calls: int) -> None:
    """Return when so many calls wait, no more and no fewer."""
    deadline = time.monotonic() + 30
    while workers.waiting() != calls:
        assert time.monotonic() < deadline, "the calls never came to wait"


def test_work_gives_its_result(workers: Workers) -> None:
    result, waited = workers.run(alone(lambda: 1 + 1), None, 10)
    assert result == 2
    assert waited >= 0


def test_what_work_raises_reaches_its_caller_and_the_next_call_works(workers: Workers) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        workers.run(alone(broken), None, 10)
    assert workers.run(alone(lambda: 2), None, 10)[0] == 2


def test_a_timeout_that_the_work_itself_raises_is_its_own(workers: Workers) -> None:
    def timed_out() -> None:
        raise TimeoutError("of the work")

    with pytest.raises(TimeoutError, match="of the work"):
        workers.run(alone(timed_out), None, 10)


def test_work_that_takes_too_long_is_a_deadline_and_never_begins_later(workers: Workers) -> None:
    gate, began = Gate(), threading.Event()
    callers = Callers(workers)
    callers.call(alone(gate), "gate")
    gate.entered.wait(30)
    with pytest.raises(DeadlineExceeded):
        workers.run(alone(began.set), None, 0.01)
    gate.open.set()
    callers.finish()
    assert workers.run(alone(lambda: 3), None, 10)[0] == 3
    assert not began.is_set()


def test_a_full_queue_refuses_and_says_when_to_come_back(workers: Workers) -> None:
    gate = Gate()
    callers = Callers(workers)
    callers.call(alone(gate), "gate")
    gate.entered.wait(30)
    for number in range(4):
        callers.call(alone(lambda: "late"), number)
    until_waiting(workers, 4)
    with pytest.raises(Unavailable) as refused:
        workers.run(alone(lambda: 1), None, 10)
    assert refused.value.retry_after_seconds >= 1
    gate.open.set()
    callers.finish()
    assert [callers.results[number] for number in range(4)] == ["late"] * 4
    assert workers.run(alone(lambda: 4), None, 10)[0] == 4


def held_up(workers: Workers, kind: Kind[Any, Any], items: Sequence[Any]) -> dict[Any, Any]:
    """What comes of calls that all wait when the thread gets free."""
    gate = Gate()
    callers = Callers(workers)
    callers.call(alone(gate), "gate")
    gate.entered.wait(30)
    for place, item in enumerate(items, start=1):
        callers.call(kind, item)
        until_waiting(workers, place)
    gate.open.set()
    callers.finish()
    return {item: callers.results[item] for item in items}


def test_calls_of_one_kind_that_wait_are_done_together(workers: Workers) -> None:
    seen: list[list[int]] = []

    def double(items: Sequence[int]) -> list[int]:
        seen.append(list(items))
        return [2 * item for item in items]

    found = held_up(workers, Kind("doubling", "double", double, most=3), [1, 2, 3, 4])
    assert found == {1: 2, 2: 4, 3: 6, 4: 8}
    assert seen == [[1, 2, 3], [4]]
    assert workers.taken()["doubling"] == Taken(calls=4, batches=2)


def test_calls_of_another_kind_are_not(workers: Workers) -> None:
    def numbered(items: Sequence[str]) -> list[int]:
        return [len(items)] * len(items)

    gate = Gate()
    callers = Callers(workers)
    callers.call(alone(gate), "gate")
    gate.entered.wait(30)
    for place, key in enumerate("aba"):
        callers.call(Kind("counting", key, numbered, most=9), place)
        until_waiting(workers, place + 1)
    gate.open.set()
    callers.finish()
    assert [callers.results[place] for place in range(3)] == [2, 1, 2]


def test_a_bad_one_among_calls_done_together_fails_alone(workers: Workers) -> None:
    def invert(items: Sequence[int]) -> list[float]:
        return [1 / item for item in items]

    found = held_up(workers, Kind("inverting", "invert", invert, most=9), [1, 0, 2])
    assert (found[1], found[2]) == (1, 0.5)
    assert isinstance(found[0], ZeroDivisionError)


def test_stopping_refuses_what_waits_and_finishes_what_runs(workers: Workers) -> None:
    gate = Gate()
    callers = Callers(workers)
    callers.call(alone(gate), "running")
    gate.entered.wait(30)
    callers.call(alone(lambda: 1), "waiting")
    until_waiting(workers, 1)
    closer = threading.Thread(target=workers.close)
    closer.start()
    until_waiting(workers, 0)
    gate.open.set()
    closer.join()
    callers.finish()
    assert callers.results["running"] == "done"
    assert isinstance(callers.results["waiting"], Unavailable)
    with pytest.raises(Unavailable):
        workers.run(alone(lambda: 1), None, 10)

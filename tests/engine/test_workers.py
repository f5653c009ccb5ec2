from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from inkling.engine.workers import Workers
from inkling.errors import DeadlineExceeded, Unavailable


@pytest.fixture
def workers() -> Iterator[Workers]:
    started = Workers(1, queue_limit=1, on_start=lambda: None)
    yield started
    started.close()


class Gate:
    """Work that runs until it is let go."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        self.open.wait(30)
        return "done"


def test_work_gives_its_result(workers: Workers) -> None:
    result, waited = workers.run("adding", lambda: 1 + 1, 10)
    assert result == 2
    assert waited >= 0


def test_what_work_raises_reaches_its_caller_and_the_next_call_works(workers: Workers) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        workers.run("dividing", broken, 10)
    assert workers.run("adding", lambda: 2, 10)[0] == 2


def test_a_timeout_that_the_work_itself_raises_is_its_own(workers: Workers) -> None:
    def timed_out() -> None:
        raise TimeoutError("of the work")

    with pytest.raises(TimeoutError, match="of the work"):
        workers.run("waiting", timed_out, 10)


def test_work_that_takes_too_long_is_a_deadline_and_never_begins_later(workers: Workers) -> None:
    gate, began = Gate(), threading.Event()
    runner = threading.Thread(target=workers.run, args=("running", gate, 30))
    runner.start()
    gate.entered.wait(30)
    with pytest.raises(DeadlineExceeded):
        workers.run("waiting", began.set, 0.01)
    gate.open.set()
    runner.join()
    assert workers.run("adding", lambda: 3, 10)[0] == 3
    assert not began.is_set()


def test_a_full_queue_refuses_and_says_when_to_come_back(workers: Workers) -> None:
    gates = [Gate(), Gate()]
    runners = [threading.Thread(target=workers.run, args=("run", gate, 30)) for gate in gates]
    runners[0].start()
    gates[0].entered.wait(30)
    runners[1].start()
    refusals: list[Unavailable] = []
    while not refusals:  # until the second call has taken the one waiting place
        try:
            workers.run("adding", lambda: 1, 0.01)
        except Unavailable as refused:
            refusals.append(refused)
        except DeadlineExceeded:
            continue
    assert refusals[0].retry_after_seconds >= 1
    for gate in gates:
        gate.open.set()
    for runner in runners:
        runner.join()
    assert workers.run("adding", lambda: 4, 10)[0] == 4

"""When a call is sent again, and after how long, without a server and without waiting."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest
from inkling import NO_RETRIES, AnswerLost, Conflict, LimitReached, Retries, ServerBusy
from inkling.client.exchange import Pause, Request, exchange

GET = Request("GET", "/sessions")
PROBLEM = {"content-type": "application/problem+json"}
FINE = httpx.Response(200, json={})


def full(seconds: int) -> httpx.Response:
    return httpx.Response(503, headers={**PROBLEM, "retry-after": str(seconds)}, json={})


def running() -> httpx.Response:
    told = {"type": "/problems/idempotency-key-in-use"}
    return httpx.Response(409, headers={**PROBLEM, "retry-after": "1"}, json=told)


class Told:
    """A clock that goes on by the pauses alone, and the pauses that a call made."""

    def __init__(self, chance: float = 1.0) -> None:
        self.now, self.chance, self.pauses = 0.0, chance, list[float]()

    def of(
        self, outcomes: Sequence[httpx.Response | Exception], times: int = 5, total: float = 300
    ) -> httpx.Response:
        """Have a call go as told, and give its answer."""
        retries = Retries(times, total, clock=lambda: self.now, chance=lambda: self.chance)
        steps, left = exchange(GET, retries), list(outcomes)
        step = next(steps)
        try:
            while True:
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                    step = steps.send(None)
                    continue
                outcome = left.pop(0)
                if isinstance(outcome, Exception):
                    step = steps.throw(outcome)
                else:
                    step = steps.send(outcome)
        except StopIteration as done:
            response: httpx.Response = done.value
            return response


def test_pauses_grow_up_to_a_bound_and_are_any_time_below() -> None:
    broken = [httpx.ConnectError("refused")] * 7
    longest, none = Told(chance=1), Told(chance=0)
    assert longest.of([*broken, FINE], times=7) is FINE
    assert longest.pauses == [0.25, 0.5, 1, 2, 4, 8, 8]
    assert none.of([*broken, FINE], times=7) is FINE
    assert none.pauses == [0] * 7


def test_the_time_that_a_server_asks_for_is_waited_and_some_more() -> None:
    told = Told()
    assert told.of([full(7), full(3), FINE]) is FINE
    assert told.pauses == [7.25, 3.5]


def test_a_call_is_given_up_after_its_times_or_its_time() -> None:
    told = Told()
    with pytest.raises(AnswerLost):
        told.of([httpx.ReadError("cut")] * 3, times=2)
    assert len(told.pauses) == 2
    told = Told()
    with pytest.raises(ServerBusy) as raised:
        told.of([full(20), full(50), FINE], total=60)
    assert told.pauses == [20.25]
    assert raised.value.retry_after == 50
    steps = exchange(GET, NO_RETRIES)
    next(steps)
    with pytest.raises(AnswerLost):
        steps.throw(httpx.ReadError("cut"))


def test_a_first_call_that_still_runs_is_waited_for_as_long_as_there_is_time() -> None:
    told = Told(chance=0)
    assert told.of([*[running()] * 50, FINE], times=1) is FINE
    assert told.pauses == [1] * 50
    with pytest.raises(Conflict):
        Told(chance=0).of([running()] * 50, total=10)


def test_a_caller_at_its_limit_asks_again_when_it_may() -> None:
    refused = httpx.Response(429, headers={**PROBLEM, "retry-after": "1000"}, json={"title": "x"})
    with pytest.raises(LimitReached, match="429 x") as raised:
        Told().of([refused])
    assert raised.value.retry_after == 1000

"""A call as steps that do no input or output of their own, and when it is sent again.

A generator of steps gives what is to be done, and is sent what came of it. So one description
serves the client that waits and the one that awaits.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from ..errors import RequestRefused, ServerUnreachable
from .refusals import (
    AnswerLost,
    Conflict,
    LimitReached,
    NotFound,
    ServerBusy,
    TimedOut,
    refusal_of,
)

Made = TypeVar("Made")
KEY_IN_USE, CHANGED_MEANWHILE = "idempotency-key-in-use", "session-changed"
GATEWAY_STATUSES = frozenset({502, 504})
"""Of a proxy that got no answer of the server, where it is no problem of the server's own."""


@dataclass(frozen=True)
class Request:
    """One request, which may be sent again: it has a key, or changes nothing.

    ``gone_is_done`` is true of a deletion: when it is repeated, its object may be gone by the
    first one. ``in_bytes`` tells that the answer is no JSON.
    """

    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    gone_is_done: bool = False
    in_bytes: bool = False


@dataclass(frozen=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Do what reads files or computes, and send its result back."""

    do: Callable[[], Any]


Step = Request | Pause | Work
Steps = Generator[Step, Any, Made]


@dataclass(frozen=True)
class Retries:
    """How often, and for how long, a call is sent again whose answer did not come.

    Before the n-th repetition passes a random time between 0 and ``first_seconds`` * 2^(n-1), at
    most ``longest_seconds``, behind the time that the server asked for. A call is given up when
    the next repetition would begin later than ``total_seconds`` after the first try. Repetitions
    while the server still works on the first one do not count among the ``times``.
    """

    times: int = 5
    total_seconds: float = 300
    first_seconds: float = 0.25
    longest_seconds: float = 8
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def pause(self, repetition: int, asked_for: float | None) -> float:
        """Seconds before a repetition, counted from 1."""
        most = min(self.longest_seconds, self.first_seconds * 2 ** (repetition - 1))
        pause: float = (asked_for or 0) + most * self.chance()
        return pause


NO_RETRIES = Retries(times=0, total_seconds=0)


def exchange(request: Request, retries: Retries) -> Steps[httpx.Response]:
    """Send a request until it is answered. Raises RequestRefused and ServerUnreachable."""
    began, repetition = retries.clock(), 0
    for tries in itertools.count():
        failure = yield from _sent(request)
        if isinstance(failure, httpx.Response):
            return failure
        if tries and request.gone_is_done and isinstance(failure, NotFound):
            return httpx.Response(204)
        running = isinstance(failure, Conflict) and failure.kind == KEY_IN_USE
        repetition += not running
        asked_for = failure.retry_after if isinstance(failure, RequestRefused) else None
        pause = retries.pause(max(repetition, 1), asked_for)
        is_late = retries.clock() - began + pause > retries.total_seconds
        if not may_pass(failure) or repetition > retries.times or is_late:
            raise failure
        yield Pause(pause)
    raise AssertionError("unreachable")


def may_pass(failure: RequestRefused | ServerUnreachable) -> bool:
    """Tell whether the same call may be answered a little later."""
    if isinstance(failure, LimitReached | ServerBusy):
        return True
    if isinstance(failure, Conflict):
        return failure.kind in (KEY_IN_USE, CHANGED_MEANWHILE)
    if isinstance(failure, RequestRefused):
        return failure.status in GATEWAY_STATUSES and failure.kind is None
    return isinstance(failure, AnswerLost)


def _sent(request: Request) -> Steps[httpx.Response | RequestRefused | ServerUnreachable]:
    """An answer that can be read, or why there is none."""
    try:
        response: httpx.Response = yield request
    except httpx.TimeoutException as late:
        return _because(TimedOut(f"no answer in time: {_told(late)}"), late)
    except httpx.TransportError as broken:
        return _because(AnswerLost(_told(broken)), broken)
    if not response.is_success:
        return refusal_of(response)
    is_json = not request.in_bytes and response.status_code != httpx.codes.NO_CONTENT
    return _checked_json(response) if is_json else response


def _checked_json(response: httpx.Response) -> httpx.Response | ServerUnreachable:
    """An answer that is JSON as it is; of another one, what is wrong with it."""
    kind = response.headers.get("content-type", "")
    if not kind.startswith("application/json"):
        return ServerUnreachable(f"expected JSON, as an Inkling server answers, got {kind!r}")
    try:
        json.loads(response.content)
    except ValueError as cut:
        return _because(AnswerLost("the answer is not whole"), cut)
    return response


Failure = TypeVar("Failure", bound=ServerUnreachable)


def _because(failure: Failure, cause: Exception) -> Failure:
    failure.__cause__ = cause
    return failure


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__

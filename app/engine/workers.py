"""A bounded queue in front of a few compute threads, which may take calls of one kind together."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..errors import DeadlineExceeded, Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True)
class Kind(Generic[Item, Result]):
    """Calls that one piece of work can do together.

    Those whose ``key`` is equal are taken together, up to ``most`` of them; ``work`` gives a
    result for each, or the exception that this one call raises.
    """

    what: str
    key: Hashable
    work: Callable[[Sequence[Item]], Sequence[Result | BaseException]] = field(compare=False)
    most: int = 1


@dataclass(frozen=True, eq=False)
class _Call:
    kind: Kind[Any, Any]
    item: Any
    asked: float
    future: Future[tuple[Any, float]] = field(default_factory=Future)


@dataclass(frozen=True)
class Taken:
    """How many calls of a kind were done, in how many pieces of work."""

    calls: int = 0
    batches: int = 0


class Workers:
    """Compute threads with a bound on how many calls may wait for them."""

    def __init__(self, threads: int, queue_limit: int, on_start: Callable[[], None]) -> None:
        """``on_start`` runs once in each thread, before its first call."""
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._frozen: list[threading.Lock] = []
        self._running, self._closed, self._waiting_limit = 0, False, queue_limit
        self._taken: dict[str, Taken] = {}
        self._threads = [
            threading.Thread(
                target=self._serve, args=(on_start,), name=f"inkling-compute-{number}", daemon=True
            )
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self, kind: Kind[Item, Result], item: Item, deadline_seconds: float
    ) -> tuple[Result, float]:
        """Do one call of a kind on a compute thread; return its result and the seconds it waited.

        Raises Unavailable when the queue is full, DeadlineExceeded when no result came in time
        (work that has not begun by then never does), and whatever the work raises for this call.
        """
        future = self.submit(kind, item)
        try:
            return future.result(timeout=deadline_seconds)
        except FutureTimeout:
            if future.done():
                raise
            future.cancel()
            raise DeadlineExceeded(kind.what, deadline_seconds) from None

    def submit(self, kind: Kind[Item, Result], item: Item) -> Future[tuple[Result, float]]:
        """Have one call of a kind done; the future gives its result and the seconds it waited.

        A free thread starts at once, with whatever is there. A future that is cancelled before
        then gives up its place. Raises Unavailable when the queue is full.
        """
        call = _Call(kind, item, time.perf_counter())
        with self._lock:
            if self._closed:
                raise Unavailable("the server is stopping", RETRY_AFTER_SECONDS)
            if len(self._waiting) >= self._waiting_limit + self._idle():
                raise Unavailable(
                    f"{self._waiting_limit} calls are waiting already", RETRY_AFTER_SECONDS
                )
            self._waiting.append(call)
            # The thread that rested last: what it works with is still in its core's caches.
            if self._frozen:
                self._frozen.pop().release()
        call.future.add_done_callback(lambda _: self._give_up(call))
        return call.future

    def idle(self) -> int:
        """How many threads have nothing to do, and nothing that waits for them."""
        return max(0, self._idle() - len(self._waiting))

    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return len(self._waiting)

    def taken(self) -> dict[str, Taken]:
        """By what they do, the calls done so far."""
        with self._lock:
            return dict(self._taken)

    def close(self) -> None:
        """Finish what runs, refuse what waits."""
        with self._lock:
            self._closed = True
            dropped = list(self._waiting)
            self._waiting.clear()
            while self._frozen:
                self._frozen.pop().release()
        for call in dropped:
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(
                    Unavailable("the server is stopping", RETRY_AFTER_SECONDS)
                )
        for thread in self._threads:
            thread.join()

    def _give_up(self, call: _Call) -> None:
        """Take a call that was cancelled out of the queue."""
        if call.future.cancelled():
            with self._lock, contextlib.suppress(ValueError):
                self._waiting.remove(call)

    def _idle(self) -> int:
        return len(self._threads) - self._running

    def _serve(self, on_start: Callable[[], None]) -> None:
        on_start()
        woken = threading.Lock()
        woken.acquire()
        while calls := self._next(woken):
            began = time.perf_counter()
            results = _results(calls)
            with self._lock:
                self._running -= 1
            for call, result in zip(calls, results, strict=True):
                if isinstance(result, BaseException):
                    call.future.set_exception(result)
                else:
                    call.future.set_result((result, began - call.asked))

    def _next(self, woken: threading.Lock) -> list[_Call]:
        """The call that waits the longest, and others that can be done with it; none at the end.

        ``woken`` is the calling thread's own, and held; it is released to wake the thread.
        """
        with self._lock:
            while True:
                while not self._waiting and not self._closed:
                    self._frozen.append(woken)
                    self._lock.release()
                    woken.acquire()
                    self._lock.acquire()
                if not self._waiting:
                    return []
                kind = self._waiting[0].kind
                together = [call for call in self._waiting if call.kind == kind][: kind.most]
                for call in together:
                    self._waiting.remove(call)
                calls = [c for c in together if c.future.set_running_or_notify_cancel()]
                if calls:
                    self._running += 1
                    before = self._taken.get(kind.what, Taken())
                    self._taken[kind.what] = Taken(before.calls + len(calls), before.batches + 1)
                    return calls


def _results(calls: Sequence[_Call]) -> Sequence[Any]:
    """A result or an exception for each call; where they fail together, each is done alone."""
    try:
        return calls[0].kind.work([call.item for call in calls])
    except BaseException as failure:  # noqa: BLE001 - raised by the callers
        if len(calls) == 1:
            return [failure]
    return [result for call in calls for result in _results([call])]

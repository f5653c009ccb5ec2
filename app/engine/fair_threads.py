"""A few threads for short work of several tenants, who have turns by the time that it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from .fair import FairQueue

Result = TypeVar("Result")


class FairThreads:
    """Runs work in threads; a piece takes milliseconds, so that nobody waits long for a turn."""

    def __init__(self, threads: int, name: str) -> None:
        self._changed = threading.Condition()
        self._waiting = FairQueue[_Piece]()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, tenant: str, work: Callable[..., Result], *arguments: object
    ) -> Future[Result]:
        """Have a piece of a tenant's work done. Raises RuntimeError when the threads have ended."""
        piece = _Piece(tenant, work, arguments)
        with self._changed:
            if self._closed:
                raise RuntimeError("the threads have ended")
            self._waiting.put(piece.flow, piece)
            self._changed.notify()
        return piece.future

    def close(self) -> None:
        """Cancel what waits, and let the threads end with what they do."""
        with self._changed:
            self._closed = True
            for piece in list(self._waiting):
                self._waiting.drop(piece.flow, piece)
                piece.future.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (piece := self._next()) is not None:
            began = time.perf_counter()
            piece.run()
            with self._changed:
                self._waiting.done(piece.flow, time.perf_counter() - began)

    def _next(self) -> _Piece | None:
        with self._changed:
            while True:
                piece = self._waiting.next(lambda _: True)
                if piece is not None:
                    self._waiting.take(piece.flow, piece)
                    return piece
                if self._closed:
                    return None
                self._changed.wait()


class _Piece:
    """A piece of work, and where its result goes."""

    def __init__(
        self, tenant: str, work: Callable[..., Any], arguments: tuple[object, ...]
    ) -> None:
        self.flow = tenant, False
        self.future: Future[Any] = Future()
        self._work, self._arguments = work, arguments

    def run(self) -> None:
        """Do the work, unless nobody waits for it any longer."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._work(*self._arguments))
        except BaseException as failure:  # noqa: BLE001 - raised by who waits for it
            self.future.set_exception(failure)

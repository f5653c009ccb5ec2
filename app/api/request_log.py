"""One line in the log for each request, as text or JSON; under overload a sample and a count."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

LINES_PER_SECOND = 100
"""Of requests that did not end in an error of the server; those all have their lines."""
log = logging.getLogger("inkling.requests")


@dataclass(frozen=True)
class Line:
    """What is told of a request; of its ``state`` the refusal and where its time went."""

    method: str
    route: str
    status: int
    seconds: float
    request_id: str
    state: Mapping[str, Any]

    def as_text(self) -> str:
        """A line to be read."""
        problem = self.state.get("problem")
        told = f" {problem}" if problem else ""
        return (
            f"{self.method} {self.route} {self.status} {1000 * self.seconds:.1f}ms "
            f"{self.request_id}{told}"
        )

    def as_json(self) -> str:
        """A line for programs."""
        timing = self.state.get("timing")
        told = {
            "time": round(time.time(), 3),
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "milliseconds": round(1000 * self.seconds, 1),
            "request_id": self.request_id,
            "problem": self.state.get("problem"),
        }
        if timing is not None:
            told |= {f"{part}_ms": round(1000 * s, 2) for part, s in vars(timing).items()}
        return json.dumps({name: value for name, value in told.items() if value is not None})


class RequestLog:
    """Writes lines, and in place of those over a rate how many of what status there were."""

    def __init__(
        self, form: Literal["text", "json"] = "text", steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._form, self._steady = form, steady
        self._second, self._written = 0, 0
        self._left_out: Counter[int] = Counter()

    def write(self, line: Line) -> None:
        """Write a line, or count it."""
        second = int(self._steady())
        if second != self._second:
            self._tell_left_out()
            self._second, self._written = second, 0
        if self._written >= LINES_PER_SECOND and line.status != 500:
            self._left_out[line.status] += 1
            return
        self._written += 1
        log.info("%s", line.as_json() if self._form == "json" else line.as_text())

    def _tell_left_out(self) -> None:
        if self._left_out:
            by_status = dict(sorted(self._left_out.items()))
            told = ", ".join(f"{n} of {status}" for status, n in by_status.items())
            if self._form == "json":
                log.info("%s", json.dumps({"time": round(time.time(), 3), "left_out": by_status}))
            else:
                log.info("not logged one by one: %s", told)
            self._left_out.clear()

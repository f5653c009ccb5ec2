"""A closed loop of HTTP/1.1 clients in a process of its own: throughput and latencies as JSON.

Each client keeps one connection and sends its prebuilt requests in turn, the next as soon as the
last is answered. Raw asyncio streams keep the cost of a request to about a tenth of a
millisecond, since the generator shares the cores with the server that it measures.

The standard input holds a `LoadPlan`, the standard output gets a `LoadResult`, both as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ..comparison import THIS

CONTENT_LENGTH = b"\r\ncontent-length:"


@dataclass(frozen=True)
class LoadPlan:
    """What to send where: a list of raw requests for each client.

    The clock starts when ``warmup`` requests are answered (or ``seconds`` have passed with one
    answer at least) and stops ``seconds`` later, or with the first answer after that.
    """

    host: str
    port: int
    requests: Sequence[Sequence[bytes]]
    warmup: int
    seconds: float


@dataclass(frozen=True)
class LoadResult:
    """What was measured, over the answers that came while the clock ran."""

    answers: int
    throughput_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failures: int
    """Answers of the whole run, warm-up included, that are not 2xx."""
    first_failure: str


class LoadFailed(Exception):
    """An answer was not 2xx, or the generator broke."""


def run_load(plan: LoadPlan) -> LoadResult:
    """Run a plan in a process of its own. Raises LoadFailed if any answer is not 2xx."""
    encoded = [
        [base64.b64encode(request).decode() for request in client] for client in plan.requests
    ]
    ended = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps({**asdict(plan), "requests": encoded}),
        capture_output=True,
        text=True,
        cwd=THIS,
        check=False,
    )
    if ended.returncode:
        raise LoadFailed(ended.stderr)
    result = LoadResult(**json.loads(ended.stdout))
    if result.failures:
        raise LoadFailed(f"{result.failures} answers are not 2xx; first: {result.first_failure}")
    return result


class Generator:
    """Sends a plan's requests and takes the time of every answer."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._warming = plan.warmup
        self._began = time.perf_counter()
        self._clock_started: float | None = None
        self._ended: float | None = None
        self._latencies: list[float] = []
        self._failures: list[str] = []

    async def run(self) -> LoadResult:
        """Measure; requests on their way at the end are waited for and not counted."""
        async with asyncio.TaskGroup() as clients:
            for requests in self._plan.requests:
                clients.create_task(self._client(requests))
        assert self._clock_started is not None
        assert self._ended is not None
        window, sorted_ms = self._ended - self._clock_started, sorted(self._latencies)
        return LoadResult(
            answers=len(sorted_ms),
            throughput_per_s=len(sorted_ms) / window,
            p50_ms=_percentile(sorted_ms, 50),
            p95_ms=_percentile(sorted_ms, 95),
            p99_ms=_percentile(sorted_ms, 99),
            failures=len(self._failures),
            first_failure=self._failures[0] if self._failures else "",
        )

    async def _client(self, requests: Sequence[bytes]) -> None:
        reader, writer = await asyncio.open_connection(self._plan.host, self._plan.port)
        try:
            for request in itertools.cycle(requests):
                if self._ended is not None:
                    return
                sent = time.perf_counter()
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_body_length(head))
                self._note(sent, time.perf_counter())
                if head[9:10] != b"2":
                    self._failures.append((head + body).decode("latin-1")[:1000])
        finally:
            writer.close()

    def _note(self, sent: float, now: float) -> None:
        """Count an answer. Without a pause between warm-up and clock the server stays loaded."""
        seconds = self._plan.seconds
        if self._clock_started is None:
            self._warming -= 1
            if self._warming <= 0 or now - self._began >= seconds:
                self._clock_started = now
        elif self._ended is None:
            self._latencies.append(1000 * (now - sent))
            if now - self._clock_started >= seconds:
                self._ended = now


def _body_length(head: bytes) -> int:
    """The bytes of the body behind a head. Raises LoadFailed where that is not told."""
    lowered = head.lower()
    place = lowered.find(CONTENT_LENGTH)
    if place < 0:
        raise LoadFailed(f"expected an answer with a Content-Length, got {head!r}")
    begin = place + len(CONTENT_LENGTH)
    return int(lowered[begin : lowered.index(b"\r\n", begin)])


def _percentile(sorted_values: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile: a value that was measured."""
    return sorted_values[max(0, math.ceil(len(sorted_values) * percent / 100) - 1)]


def _read_plan(text: str) -> LoadPlan:
    told = json.loads(text)
    told["requests"] = [
        [base64.b64decode(request) for request in client] for client in told["requests"]
    ]
    return LoadPlan(**told)


def main() -> None:
    """Run the plan of the standard input."""
    result = asyncio.run(Generator(_read_plan(sys.stdin.read())).run())
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()

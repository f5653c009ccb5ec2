"""An open loop of HTTP/1.1 requests in a process of its own: they come whether or not answers do.

Requests start at a fixed rate, each on a connection that is free or on a new one. The standard
input holds an `ArrivalPlan`, the standard output gets an `ArrivalResult`, both as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parent.parent.parent
PROBE = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PROBE_SECONDS = 0.05
LATE_SECONDS = 5.0
"""An answer after this time is worth nothing."""


@dataclass(frozen=True)
class ArrivalPlan:
    """What to send: ``requests`` in turn, ``per_second`` of them, over few connections."""

    host: str
    port: int
    requests: Sequence[bytes]
    per_second: float
    seconds: float
    connections: int = 800


@dataclass
class ArrivalResult:
    """What came: answers by status; milliseconds of good ones, refusals and probes."""

    statuses: dict[str, int] = field(default_factory=dict)
    good_per_s: float = 0.0
    late: int = 0
    unsent: int = 0
    without_retry_after: int = 0
    good_ms: dict[str, float] = field(default_factory=dict)
    refused_ms: dict[str, float] = field(default_factory=dict)
    probe_ms: dict[str, float] = field(default_factory=dict)


def run_arrivals(plan: ArrivalPlan) -> ArrivalResult:
    """Run a plan in a process of its own."""
    encoded = [base64.b64encode(request).decode() for request in plan.requests]
    ended = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps({**asdict(plan), "requests": encoded}),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return ArrivalResult(**json.loads(ended.stdout))


class _Client(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, generator: _Generator) -> None:
        self._generator = generator
        self._buffer = bytearray()
        self._sent: float | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due: float) -> None:
        self._sent = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        place = head.index(b"content-length:") + 15
        length = int(head[place : (head + b"\r\n").index(b"\r\n", place)])
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer.clear()
        assert self._sent is not None
        self._generator.answered(head, time.perf_counter() - self._sent)
        self._sent = None
        self._generator.free.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self._sent is not None:
            self._generator.statuses["lost"] += 1
        self._generator.n_open -= 1
        if self in self._generator.free:
            self._generator.free.remove(self)


class _Generator:
    def __init__(self, plan: ArrivalPlan) -> None:
        self._plan = plan
        self.free: list[_Client] = []
        self.statuses: Counter[str] = Counter()
        self.n_open = 0
        self._good: list[float] = []
        self._refused: list[float] = []
        self._probes: list[float] = []
        self._result = ArrivalResult()

    def answered(self, head: bytes, seconds: float) -> None:
        status = head[9:12].decode()
        self.statuses[status] += 1
        if status.startswith("2"):
            self._good.append(seconds)
        else:
            self._refused.append(seconds)
            self._result.without_retry_after += b"retry-after:" not in head

    async def run(self) -> ArrivalResult:
        plan = self._plan
        probes = asyncio.create_task(self._probe())
        opening: set[asyncio.Task[None]] = set()
        began, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < plan.seconds:
            while sent < now * plan.per_second:
                due, request = (
                    began + sent / plan.per_second,
                    plan.requests[sent % len(plan.requests)],
                )
                sent += 1
                if self.free:
                    self.free.pop().send(request, due)
                elif self.n_open < plan.connections:
                    self.n_open += 1
                    task = asyncio.create_task(self._open(request, due))
                    opening.add(task)
                    task.add_done_callback(opening.discard)
                else:
                    self._result.unsent += 1
            await asyncio.sleep(0.001)
        await asyncio.sleep(LATE_SECONDS)
        probes.cancel()
        result = self._result
        result.statuses = dict(self.statuses)
        result.late = sum(seconds > LATE_SECONDS for seconds in self._good)
        result.good_per_s = (len(self._good) - result.late) / plan.seconds
        result.good_ms, result.refused_ms = _spread(self._good), _spread(self._refused)
        result.probe_ms = _spread(self._probes)
        return result

    async def _open(self, request: bytes, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, client = await loop.create_connection(
                lambda: _Client(self), self._plan.host, self._plan.port
            )
        except OSError:
            self.n_open -= 1
            self.statuses["unconnected"] += 1
            return
        client.send(request, due)

    async def _probe(self) -> None:
        reader, writer = await asyncio.open_connection(self._plan.host, self._plan.port)
        while True:
            began = time.perf_counter()
            writer.write(PROBE)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
            self._probes.append(time.perf_counter() - began)
            await asyncio.sleep(PROBE_SECONDS)


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    if not ordered:
        return {}
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)
        for name, share in places.items()
    }


def main() -> None:
    told = json.loads(sys.stdin.read())
    told["requests"] = [base64.b64decode(request) for request in told["requests"]]
    import uvloop

    result = uvloop.run(_Generator(ArrivalPlan(**told)).run())
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()

"""What a second replica on a second core adds: adaptations and predictions a second, in turn.

Adaptations of `photos`, 5-way 5-shot, and predictions; and what they cost Redis.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import httpx
import pytest
from inkling.cli.demo import SAMPLES

from ..redis_server import MISSING, PROGRAM, RedisServer
from .server import ServerProcess, serving

ROUNDS, SECONDS, CLIENTS = 5, 12.0, 2
WAY, SHOT = 5, 5
LEAST_GAIN = 1.8
CALLS = 400
Work = Literal["adapt", "predict"]
Kind = Literal["photographs", "drawings"]


def support(kind: Kind = "photographs") -> list[tuple[str, tuple[str, bytes]]]:
    kinds = sorted(path for path in SAMPLES[kind].iterdir() if path.is_dir())[:WAY]
    return [
        (folder.name, (path.name, path.read_bytes()))
        for folder in kinds
        for path in sorted(folder.iterdir())[:SHOT]
    ]


def pinned(folder: Path, redis: RedisServer, core: int) -> ServerProcess:
    """A server with one compute thread, on one core from its start."""
    server = ServerProcess(
        folder,
        SESSION_STORE="redis",
        REDIS_URL=redis.url,
        INITIALIZATIONS="photos",
        WORKERS=1,
        SESSION_TTL_SECONDS=60,
    )
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        server.start()
    finally:
        os.sched_setaffinity(0, everywhere)
    return server


def rate(servers: Sequence[ServerProcess], work: Work) -> float:
    """Calls a second of all servers, each with its own clients."""
    done: list[float] = []
    stop = time.perf_counter() + SECONDS
    shown = support()

    def call_on(url: str) -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            session_id = http.post("/adapt", files=shown).json()["session_id"]
            query = [("image", shown[0][1])]
            while time.perf_counter() < stop:
                if work == "adapt":
                    sent = http.post("/adapt", files=shown)
                    sent.raise_for_status()
                    http.delete(f"/sessions/{sent.json()['session_id']}").raise_for_status()
                else:
                    data = {"session_id": session_id}
                    http.post("/predict", data=data, files=query).raise_for_status()
                done.append(time.perf_counter())

    callers = [
        threading.Thread(target=call_on, args=(server.url,))
        for server in servers
        for _ in range(CLIENTS)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return len(done) / (max(done) - (stop - SECONDS))


def test_a_second_replica_adds_its_core(tmp_path: Path) -> None:
    if PROGRAM is None:
        pytest.skip(MISSING)
    redis = RedisServer(tmp_path)
    redis.start()
    first, second, *_ = sorted(os.sched_getaffinity(0))
    with ExitStack() as ending:
        ending.callback(redis.kill)
        servers = [pinned(tmp_path, redis, core) for core in (first, second)]
        for server in servers:
            ending.callback(server.stop)
        rates: dict[tuple[Work, int], list[float]] = {}
        works: tuple[Work, ...] = ("adapt", "predict")
        for turn in range(ROUNDS):
            for work in works:
                for count in (1, 2) if turn % 2 else (2, 1):
                    rates.setdefault((work, count), []).append(rate(servers[:count], work))
        medians = {key: statistics.median(each) for key, each in rates.items()}
        for work in works:
            one, two = medians[work, 1], medians[work, 2]
            print(f"\n{work}: {one:.2f} a second by one, {two:.2f} by two: {two / one:.2f} times")
    assert medians["adapt", 2] / medians["adapt", 1] >= LEAST_GAIN


def memory(redis: RedisServer) -> int:
    told = redis.ask("INFO", "memory").decode()
    return int(told.split("used_memory:")[1].split()[0])


@pytest.mark.parametrize("initialization", ["photos", "omniglot"])
def test_what_redis_spends(tmp_path: Path, initialization: str) -> None:
    """Processor time and bytes of Redis by kind of call, of which its capacity follows."""
    if PROGRAM is None:
        pytest.skip(MISSING)
    redis = RedisServer(tmp_path)
    redis.start()
    chosen = {"SESSION_STORE": "redis", "REDIS_URL": redis.url, "INITIALIZATIONS": initialization}
    shown = support("photographs" if initialization == "photos" else "drawings")
    query = [("image", shown[0][1])]
    spent: dict[str, float] = {}
    for name, cache in {"a hit": 2**28, "a miss": 0}.items():
        with (
            serving(tmp_path, WORKERS=1, SESSION_CACHE_BYTES=cache, **chosen) as server,
            httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http,
        ):
            session_id = http.post("/adapt", files=shown).json()["session_id"]
            before = processor(redis)
            for _ in range(CALLS):
                http.post("/predict", data={"session_id": session_id}, files=query)
            spent[f"a prediction at {name}"] = (processor(redis) - before) / CALLS
            if name == "a hit":
                before, bytes_before = processor(redis), memory(redis)
                for _ in range(CALLS // 10):
                    http.post("/adapt", files=shown).raise_for_status()
                spent["an adaptation"] = (processor(redis) - before) / (CALLS // 10)
                each = (memory(redis) - bytes_before) / (CALLS // 10)
                print(f"\n{initialization}: {each:,.0f} bytes a session")
    redis.kill()
    for what, seconds in spent.items():
        print(f"{initialization}: Redis spends {1000 * seconds:.3f} ms of a core on {what}")


def processor(redis: RedisServer) -> float:
    """Seconds of a core that Redis has used."""
    told = redis.ask("INFO", "cpu").decode()
    return sum(
        float(told.split(f"{name}:")[1].split()[0]) for name in ("used_cpu_sys", "used_cpu_user")
    )

"""What predicting costs with sessions in Redis, beside SQLite, on the same machine, in turn."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import httpx
import pytest

from ..redis_server import MISSING, PROGRAM, RedisServer
from .server import serving
from .traffic import Task, adapt, answer, draw_task

CALLS = 300
MOST_MORE_AT_A_MISS, MOST_MORE_AT_A_HIT = 2.0, 0.5
"""Milliseconds."""


@pytest.mark.parametrize(
    ("cache_bytes", "fsync", "most"),
    [
        (0, "everysec", MOST_MORE_AT_A_MISS),
        (0, "always", MOST_MORE_AT_A_MISS),
        (2**28, "everysec", MOST_MORE_AT_A_HIT),
        # A hit writes the moved end, which such a Redis brings to the disk first.
        (2**28, "always", MOST_MORE_AT_A_MISS),
    ],
)
def test_redis_costs_little_more_than_sqlite(
    tmp_path: Path, drawings: dict[str, list[bytes]], cache_bytes: int, fsync: str, most: float
) -> None:
    if PROGRAM is None:
        pytest.skip(MISSING)
    redis = RedisServer(tmp_path, "--appendfsync", fsync)
    redis.start()
    task = draw_task(drawings, 0)
    chosen = {"WORKERS": 1, "SESSION_CACHE_BYTES": cache_bytes, "INITIALIZATIONS": "omniglot"}
    shared = {"SESSION_STORE": "redis", "REDIS_URL": redis.url}
    spent: dict[str, list[float]] = {"sqlite": [], "redis": []}
    store: dict[str, list[float]] = {"sqlite": [], "redis": []}
    with (
        serving(tmp_path / "state", **chosen) as one,
        serving(tmp_path, **chosen, **shared) as other,
        httpx.Client(base_url=one.url, timeout=60, trust_env=False) as first,
        httpx.Client(base_url=other.url, timeout=60, trust_env=False) as second,
    ):
        ways = {"sqlite": first, "redis": second}
        made = {name: adapt(http, task).json()["session_id"] for name, http in ways.items()}
        for http, session_id in zip(ways.values(), made.values(), strict=True):
            for _ in range(20):
                answer(http, session_id, task)
        for turn in range(CALLS):
            for name in sorted(ways, reverse=bool(turn % 2)):
                began = time.perf_counter()
                told = timed(ways[name], made[name], task)
                spent[name].append(1000 * (time.perf_counter() - began))
                store[name].append(told)
    redis.kill()
    medians = {name: statistics.median(each) for name, each in spent.items()}
    stores = {name: statistics.median(each) for name, each in store.items()}
    print(
        f"\nappendfsync {fsync}, {cache_bytes} bytes of cache: median ms of a call {medians}, "
        f"of them in the store {stores}"
    )
    assert medians["redis"] - medians["sqlite"] <= most


def timed(http: httpx.Client, session_id: str, task: Task) -> float:
    """The milliseconds that a prediction spent on the store."""
    response = http.post(
        "/predict",
        data={"session_id": session_id},
        files=[("image", ("drawing.png", task.query))],
    )
    assert response.status_code == 200, response.text
    parts = response.headers["server-timing"].split(",")
    stages = dict(part.strip().split(";dur=") for part in parts)
    return float(stages["store"])

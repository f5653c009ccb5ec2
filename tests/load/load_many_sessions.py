"""Ten thousand live sessions: memory stays within its bound, and those on disk answer soon."""

from __future__ import annotations

import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from .server import serving
from .traffic import Task, adapt, answer, draw_task, same

SESSIONS, CLIENTS, CACHE_BYTES = 10_000, 8, 32 * 2**20
CALLS = 300


def test_ten_thousand_sessions_live_within_the_bound_of_the_cache(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    task = draw_task(drawings, 0, n_way=2, n_shot=1)
    with serving(tmp_path, SESSION_CACHE_BYTES=CACHE_BYTES, SESSION_MAX_BYTES=2**34) as server:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            before = server.resident_bytes()

            def make(count: int) -> list[str]:
                with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as own:
                    return [adapt(own, task, steps=1).json()["session_id"] for _ in range(count)]

            began = time.perf_counter()
            with ThreadPoolExecutor(CLIENTS) as pool:
                made = list(pool.map(make, [SESSIONS // CLIENTS] * CLIENTS))
            seconds = time.perf_counter() - began
            assert len({session_id for ids in made for session_id in ids}) == SESSIONS
            resident = server.resident_bytes()
            chooser = random.Random(0)
            times: dict[str, list[float]] = {"cached": [], "evicted": []}
            expected = answer(http, made[0][-1], task)
            # The first half of what each client made has left the cache long ago.
            old = [session_id for ids in made for session_id in ids[: len(ids) // 2]]
            for session_id in chooser.sample(old, CALLS):
                for kind in ("evicted", "cached"):
                    times[kind].append(timed(http, session_id, task, expected))
            cached, evicted = (statistics.median(times[kind]) for kind in ("cached", "evicted"))
        stored = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    print(
        f"\n{SESSIONS:,} sessions made in {seconds:.0f} s by {CLIENTS} clients, "
        f"{stored / 2**20:,.0f} MiB on disk; resident memory {before / 2**20:,.0f} -> "
        f"{resident / 2**20:,.0f} MiB with a cache of {CACHE_BYTES / 2**20:,.0f} MiB; one "
        f"prediction {1000 * cached:.2f} ms cached, {1000 * evicted:.2f} ms evicted "
        f"(medians of {CALLS}, interleaved)"
    )
    assert resident - before <= 3 * CACHE_BYTES + 256 * 2**20


def timed(http: httpx.Client, session_id: str, task: Task, expected: dict[str, float]) -> float:
    began = time.perf_counter()
    found = answer(http, session_id, task)
    seconds = time.perf_counter() - began
    assert same(found, expected)
    return seconds

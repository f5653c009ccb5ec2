"""Redis fails in every way, and servers over it go on with what they have, say so, and heal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ..load.traffic import Task
from ..redis_server import RedisServer
from .proxy import Proxy
from .replicas import UNCONFIRMED, Replica, replica, soon

BOUNDED_SECONDS = 8.0
"""The longest that any call may take while Redis is away."""


def gone(redis: RedisServer, _proxy: Proxy) -> Callable[[], None]:
    redis.kill()
    return redis.start


def frozen(redis: RedisServer, _proxy: Proxy) -> Callable[[], None]:
    redis.freeze()
    return redis.thaw


def slow(_redis: RedisServer, proxy: Proxy) -> Callable[[], None]:
    proxy.delay_seconds = 3.0

    def quick() -> None:
        proxy.delay_seconds = 0.0

    return quick


def dripping(_redis: RedisServer, proxy: Proxy) -> Callable[[], None]:
    """Never silent for long, and never done."""
    proxy.delay_seconds, proxy.chunk_bytes = 0.3, 1
    proxy.reset()

    def flowing() -> None:
        proxy.delay_seconds, proxy.chunk_bytes = 0.0, 65_536
        proxy.reset()

    return flowing


@pytest.mark.parametrize("fault", [gone, frozen, slow, dripping])
def test_a_redis_that_does_not_answer_costs_new_sessions_alone_and_heals(
    redis: RedisServer,
    proxy: Proxy,
    cached: Replica,
    uncached: Replica,
    task: Task,
    fault: Callable[[RedisServer, Proxy], Callable[[], None]],
) -> None:
    made = cached.adapt(task).json()["session_id"]
    expected = cached.predict(made, task).json()["predictions"]
    mend = fault(redis, proxy)
    began = time.monotonic()
    during = cached.predict(made, task)
    assert time.monotonic() - began < BOUNDED_SECONDS
    assert during.status_code == 200
    assert during.json()["predictions"] == expected
    assert [warning["code"] for warning in during.json()["warnings"]] == [UNCONFIRMED]
    for refused in (cached.adapt(task), uncached.predict(made, task), uncached.http.get("/readyz")):
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["retry-after"]) >= 1
        assert "session store cannot be used now: Redis" in refused.json()["detail"]
    assert cached.http.delete(f"/sessions/{made}").status_code == 503
    assert time.monotonic() - began < 4 * BOUNDED_SECONDS
    mend()
    soon(lambda: cached.ready() and uncached.ready())
    assert cached.warnings(made, task) == uncached.warnings(made, task) == []
    assert cached.adapt(task).status_code == 201


def test_a_redis_that_is_full_takes_nothing_new_and_serves_what_it_has(
    redis: RedisServer, cached: Replica, uncached: Replica, task: Task
) -> None:
    made = cached.adapt(task).json()["session_id"]
    redis.ask("CONFIG", "SET", "maxmemory", "1mb")
    refused = cached.adapt(task)
    assert refused.status_code == 503
    assert "Redis has no memory left" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) >= 1
    assert cached.warnings(made, task) == uncached.warnings(made, task) == []
    soon(lambda: "no memory left" in uncached.unready())
    before = cached.http.get(f"/sessions/{made}").json()["expires_at"]
    uncached.predict(made, task)
    assert cached.http.get(f"/sessions/{made}").json()["expires_at"] > before
    assert uncached.http.delete(f"/sessions/{made}").status_code == 204
    assert cached.predict(made, task).status_code == 404
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    soon(lambda: cached.ready() and uncached.ready())
    assert cached.adapt(task).status_code == 201


def test_a_replica_that_takes_over_has_the_sessions(
    redis: RedisServer, proxy: Proxy, cached: Replica, uncached: Replica, task: Task, tmp_path: Path
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    second = RedisServer(folder)
    second.start()
    second.ask("REPLICAOF", "127.0.0.1", str(redis.port))
    made = cached.adapt(task).json()["session_id"]
    soon(lambda: made.encode() in second.ask("KEYS", "*session*"))
    # The address leads to it before it takes writes.
    proxy.target = second.port
    proxy.reset()
    soon(lambda: "replica" in cached.unready())
    assert cached.warnings(made, task) == [UNCONFIRMED]
    assert cached.adapt(task).status_code == 503
    redis.kill()
    second.ask("REPLICAOF", "NO", "ONE")
    soon(lambda: cached.ready() and uncached.ready())
    assert cached.warnings(made, task) == uncached.warnings(made, task) == []
    assert cached.adapt(task).status_code == 201
    second.kill()


def test_connections_that_are_cut_are_not_noticed(
    proxy: Proxy, cached: Replica, uncached: Replica, task: Task
) -> None:
    made = cached.adapt(task).json()["session_id"]
    for _ in range(3):
        proxy.reset()
        assert cached.warnings(made, task) == uncached.warnings(made, task) == []
        assert cached.adapt(task).status_code == 201


def test_a_redis_that_was_emptied_is_told_and_goes_on(
    redis: RedisServer,
    cached: Replica,
    uncached: Replica,
    task: Task,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, deleted = (cached.adapt(task).json()["session_id"] for _ in range(2))
    assert cached.http.delete(f"/sessions/{deleted}").status_code == 204
    redis.ask("FLUSHALL")
    assert cached.warnings(made, task) == [UNCONFIRMED]
    assert cached.predict(deleted, task).status_code == 404
    assert uncached.predict(made, task).status_code == 404
    soon(lambda: "emptied, and the sessions in it are lost" in cached.unready())
    assert cached.warnings(made, task) == [UNCONFIRMED]
    fresh = cached.adapt(task).json()["session_id"]
    assert uncached.warnings(fresh, task) == []
    monkeypatch.setattr("inkling.sessions.redis_link.LOSS_TOLD_SECONDS", 0)
    assert cached.ready()


def test_staleness_is_bounded(redis: RedisServer, proxy: Proxy, task: Task) -> None:
    with replica(proxy.url, redis_stale_seconds=3) as cached:
        made = cached.adapt(task).json()["session_id"]
        redis.kill()
        assert cached.warnings(made, task) == [UNCONFIRMED]
        soon(lambda: cached.predict(made, task).status_code == 503)
        assert "Redis cannot be reached" in cached.predict(made, task).json()["detail"]


def test_nobody_crowds_a_redis_that_is_away(
    redis: RedisServer, proxy: Proxy, cached: Replica, task: Task
) -> None:
    made = cached.adapt(task).json()["session_id"]
    redis.kill()
    soon(lambda: not cached.ready())
    before, until = proxy.connections, time.monotonic() + 3
    answers: list[int] = []

    def ask() -> None:
        with httpx.Client(base_url=cached.http.base_url, timeout=20, trust_env=False) as http:
            while time.monotonic() < until:
                answers.append(Replica(http).predict(made, task).status_code)

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert set(answers) == {200}
    assert len(answers) > 50
    assert proxy.connections - before < 20
    redis.start()
    soon(cached.ready)

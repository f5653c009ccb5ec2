"""Servers over one Redis serve the same sessions, and none trusts what it remembers."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from inkling.errors import IdempotencyKeyInUse, TenantLimit
from inkling.sessions.codec import encode
from inkling.sessions.redis_store import RedisStore
from inkling.sessions.store import Bounds

from ..load.traffic import Task, answer, same, session_ids
from ..redis_server import RedisServer
from ..sessions.sample import Clock, a_session, a_support, an_answer
from .proxy import Proxy
from .replicas import Replica, replica, soon


def test_what_one_server_makes_and_changes_the_other_serves(
    cached: Replica, proxy: Proxy, task: Task
) -> None:
    with replica(proxy.url) as other:
        made = cached.adapt(task).json()["session_id"]
        assert same(answer(other.http, made, task), answer(cached.http, made, task))
        added = other.http.post(f"/sessions/{made}/support", files=task.support[:2])
        assert added.json()["version"] == 2
        assert cached.http.get(f"/sessions/{made}").json()["version"] == 2
        assert same(answer(other.http, made, task), answer(cached.http, made, task))
        assert session_ids(cached.http) == session_ids(other.http) == {made}
        assert cached.http.delete(f"/sessions/{made}").status_code == 204
        assert other.predict(made, task).status_code == 404
        assert session_ids(other.http) == set()


def test_a_keyed_call_to_two_servers_runs_once(
    cached: Replica, uncached: Replica, task: Task
) -> None:
    for _ in range(3):
        key = secrets.token_hex(8)
        with ThreadPoolExecutor(2) as pool:
            sent = [pool.submit(one.adapt, task, key=key) for one in (cached, uncached)]
            answers = [each.result() for each in sent]
        made = {each.json()["session_id"] for each in answers if each.status_code == 201}
        assert len(made) == 1
        assert {each.status_code for each in answers} <= {201, 409}
        replayed = uncached.adapt(task, key=key)
        assert replayed.headers["idempotency-replayed"] == "true"
        assert {replayed.json()["session_id"]} == made


def test_additions_through_two_servers_are_all_kept(
    cached: Replica, uncached: Replica, task: Task
) -> None:
    made = cached.adapt(task).json()["session_id"]
    before = n_images(cached, made)

    def add(one: Replica) -> int:
        sent = one.http.post(f"/sessions/{made}/support", files=task.support[:1])
        return sent.status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(add, [cached, uncached] * 3))
    assert statuses == [200] * 6
    assert n_images(uncached, made) == before + 6
    assert uncached.http.get(f"/sessions/{made}").json()["version"] == 7


def n_images(one: Replica, session_id: str) -> int:
    classes = one.http.get(f"/sessions/{session_id}").json()["classes"]
    return sum(each["images"] for each in classes)


def test_a_claim_is_one_holders_until_its_lease_ends(redis: RedisServer) -> None:
    one, other = (RedisStore(redis.url, Bounds(10**9, 10)) for _ in range(2))
    assert one.claim("name", "mine", 0.5) is None
    assert one.claim("name", "mine", 0.5) is None
    assert other.claim("name", "yours", 60) == "mine"
    assert not other.renew("name", "yours", 60)
    other.release("name", "yours")
    assert one.renew("name", "mine", 0.5)
    soon(lambda: other.claim("name", "yours", 60) is None, 5)
    assert not one.renew("name", "mine", 60)
    other.release("name", "yours")
    assert one.claim("name", "mine", 60) is None
    for each in (one, other):
        each.close()


def test_a_key_that_was_answered_is_answered_with_no_second_session(redis: RedisServer) -> None:
    """A call that was held up until its lease had ended is refused when it comes to store."""
    clock = Clock()
    store = RedisStore(redis.url, Bounds(10**9, 10), clock=clock)
    first, second = a_session(clock), a_session(clock, seed=1)
    store.insert(encode(first, a_support()), an_answer(first, clock))
    with pytest.raises(IdempotencyKeyInUse):
        store.insert(encode(second, a_support()), an_answer(second, clock))
    assert store.usage()[0] == 1
    store.close()


def test_bounds_hold_for_all_servers_together(redis: RedisServer) -> None:
    clock = Clock()
    stores = [
        RedisStore(redis.url, Bounds(10**9, 10, max_tenant_sessions=10), clock=clock)
        for _ in range(2)
    ]

    def fill(store: RedisStore) -> int:
        for made in range(20):
            try:
                store.insert(encode(a_session(clock), None), None)
            except TenantLimit:
                return made
        return 20

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(fill, stores)) == 10
    for store in stores:
        store.close()


def test_a_session_that_another_server_uses_is_not_swept(redis: RedisServer) -> None:
    clock = Clock()
    one, other = (RedisStore(redis.url, Bounds(10**9, 10), clock=clock) for _ in range(2))
    kept = a_session(clock, ttl=60, lifetime=1000)
    one.insert(encode(kept, None), None)
    clock.now += 50
    assert other.look(kept.id, "", 1, clock.now, use=True).expires_at == clock.now + 60
    clock.now += 50
    assert one.delete_ended(clock.now) == []
    clock.now += 10
    assert one.delete_ended(clock.now) == [kept.id]
    assert one.usage() == (0, 0)
    assert b"session:" not in redis.ask("KEYS", "*")
    for each in (one, other):
        each.close()

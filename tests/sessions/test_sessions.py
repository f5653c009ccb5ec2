from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from inkling.errors import (
    InvalidInput,
    SessionChanged,
    SessionNotFound,
    TenantLimit,
    Unavailable,
)
from inkling.sessions.keeper import SessionKeeper
from inkling.sessions.memory_store import MemoryStore
from inkling.sessions.redis_store import RedisStore
from inkling.sessions.session import Session, SessionFacts, new_session_id
from inkling.sessions.sessions import Sessions
from inkling.sessions.shared_sessions import SharedSessions
from inkling.sessions.sqlite_store import SqliteStore
from inkling.sessions.store import ANSWER_SECONDS, Bounds, OwnedStore, Record

from .sample import Clock, a_session, a_support, an_answer, same

MAX_ANSWERS, MAX_SESSIONS, MAX_BYTES = 5, 150, 25_000
BOUNDS = Bounds(100_000, MAX_ANSWERS, MAX_SESSIONS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


AnyStore = OwnedStore | RedisStore


@pytest.fixture(params=["memory", "sqlite"])
def owned_store(request: pytest.FixtureRequest, tmp_path: Path) -> OwnedStore:
    if request.param == "memory":
        return MemoryStore(BOUNDS)
    return SqliteStore(tmp_path / "state", BOUNDS)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store_of(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> Callable[[Bounds], AnyStore]:
    if request.param == "memory":
        return MemoryStore
    if request.param == "sqlite":
        return lambda bounds: SqliteStore(tmp_path / "state", bounds)
    url = request.getfixturevalue("redis_url")
    prefix = new_session_id()
    return lambda bounds: RedisStore(url, bounds, prefix, clock=clock)


@pytest.fixture
def store(store_of: Callable[[Bounds], AnyStore]) -> AnyStore:
    return store_of(BOUNDS)


def keeping(store: AnyStore, cache_bytes: int, clock: Clock) -> SessionKeeper:
    if isinstance(store, RedisStore):
        return SharedSessions(store, cache_bytes=cache_bytes, clock=clock, stale_seconds=60)
    return Sessions(store, cache_bytes=cache_bytes, clock=clock)


@pytest.fixture(params=[10_000, 0], ids=["cached", "uncached"])
def sessions(
    request: pytest.FixtureRequest, store: AnyStore, clock: Clock
) -> Iterator[SessionKeeper]:
    made = keeping(store, request.param, clock)
    yield made
    made.close()


def test_an_id_has_192_random_bits_and_is_new_each_time() -> None:
    ids = {new_session_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(session_id) for session_id in ids} == {32}


def test_what_is_found_is_what_was_put(sessions: SessionKeeper, clock: Clock) -> None:
    kept, support = a_session(clock), a_support()
    sessions.put(kept, support)
    assert same(sessions.read(kept.id, ""), kept)
    found = sessions.support_of(kept)
    assert found is not None
    assert torch.equal(found.images, support.images)
    assert torch.equal(found.labels, support.labels)


def test_a_session_is_found_until_it_ends(sessions: SessionKeeper, clock: Clock) -> None:
    kept = a_session(clock)
    sessions.put(kept)
    clock.now += 59
    assert same(sessions.read(kept.id, ""), kept)
    clock.now += 1
    with pytest.raises(SessionNotFound):
        sessions.read(kept.id, "")
    sessions.sweep()
    usage = sessions.usage()
    assert (usage.sessions, usage.stored_bytes, usage.cached_bytes) == (0, 0, 0)


def test_use_moves_the_end_but_never_beyond_the_cap(sessions: SessionKeeper, clock: Clock) -> None:
    kept = a_session(clock, ttl=60, lifetime=150)
    sessions.put(kept)
    for _ in range(2):
        clock.now += 50
        assert sessions.touch(kept.id, "").expires_at == min(clock.now + 60, 1150)
        sessions.sweep()
    clock.now = 1149
    assert sessions.touch(kept.id, "").expires_at == 1150
    clock.now = 1150
    with pytest.raises(SessionNotFound):
        sessions.touch(kept.id, "")


def test_reading_does_not_extend_a_session(sessions: SessionKeeper, clock: Clock) -> None:
    kept = a_session(clock)
    sessions.put(kept)
    clock.now += 30
    assert sessions.read(kept.id, "").expires_at == kept.expires_at


def test_a_cached_session_is_extended_without_the_store(
    owned_store: OwnedStore, clock: Clock
) -> None:
    sessions = Sessions(owned_store, cache_bytes=10_000, clock=clock)
    kept = a_session(clock, tenant="owner", ttl=60, lifetime=150)
    sessions.put(kept)
    owned_store.close()
    clock.now += 50
    touched = sessions.touch_cached(kept.id, "owner")
    assert touched is not None
    assert same(touched, kept.ending(clock.now + 60))
    assert same(sessions.read(kept.id, "owner"), touched)
    with pytest.raises(SessionNotFound):
        sessions.touch_cached(kept.id, "somebody else")
    clock.now += 60
    with pytest.raises(SessionNotFound):
        sessions.touch_cached(kept.id, "owner")


def test_the_store_has_to_be_asked_for_what_is_not_cached(
    owned_store: OwnedStore, clock: Clock
) -> None:
    kept = a_session(clock)
    maker = Sessions(owned_store, cache_bytes=10_000, clock=clock)
    maker.put(kept)
    sessions = Sessions(owned_store, cache_bytes=10_000, clock=clock)
    assert sessions.touch_cached(kept.id, "") is None
    assert sessions.touch_cached("é", "") is None
    assert same(sessions.touch(kept.id, ""), kept)
    assert sessions.touch_cached(kept.id, "") is not None
    sessions.close()


class ReplacingStore(MemoryStore):
    """Replaces a session right after it was found, as another thread could."""

    between: Callable[[], None] | None = None

    def find(self, session_id: str) -> Record | None:
        found = super().find(session_id)
        between, self.between = self.between, None
        if between is not None:
            between()
        return found


def test_a_session_replaced_while_it_is_read_does_not_come_back(clock: Clock) -> None:
    store = ReplacingStore(BOUNDS)
    kept = a_session(clock)
    Sessions(store, cache_bytes=0, clock=clock).put(kept)
    sessions = Sessions(store, cache_bytes=10_000, clock=clock)
    grown = replace(kept, version=2, adapted={"head.weight": torch.ones(2, 64)})
    store.between = lambda: sessions.replace(grown)
    assert same(sessions.touch(kept.id, ""), kept)
    assert same(sessions.read(kept.id, ""), grown)


def test_a_session_of_somebody_else_is_not_found(sessions: SessionKeeper, clock: Clock) -> None:
    kept = a_session(clock, tenant="one")
    sessions.put(kept)
    for ask in (sessions.read, sessions.touch, sessions.delete):
        with pytest.raises(SessionNotFound):
            ask(kept.id, "other")
    assert same(sessions.read(kept.id, "one"), kept)


def test_a_deleted_session_is_gone(sessions: SessionKeeper, clock: Clock) -> None:
    kept = a_session(clock)
    sessions.put(kept, a_support(), an_answer(kept, clock))
    sessions.delete(kept.id, "")
    for ask in (sessions.read, sessions.touch, sessions.delete):
        with pytest.raises(SessionNotFound):
            ask(kept.id, "")
    with pytest.raises(SessionNotFound):
        sessions.support_of(kept)
    answer = sessions.kept_answer(an_answer(kept, clock).key)
    assert answer is not None
    assert answer.content is None
    assert answer.session_id == kept.id


def test_a_replaced_session_is_the_new_one(sessions: SessionKeeper, clock: Clock) -> None:
    kept = a_session(clock)
    sessions.put(kept, a_support())
    sessions.touch(kept.id, "")
    grown = replace(
        kept,
        version=2,
        labels=("a", "c", "ž b"),
        image_counts=(1, 1, 2),
        adapted={"head.weight": torch.ones(3, 64)},
    )
    sessions.replace(grown, a_support(1), an_answer(grown, clock))
    assert same(sessions.read(kept.id, ""), grown)
    support = sessions.support_of(grown)
    assert support is not None
    assert torch.equal(support.images, a_support(1).images)
    assert sessions.kept_answer(an_answer(grown, clock).key) == an_answer(grown, clock)
    with pytest.raises(SessionChanged) as changed:
        sessions.replace(grown, a_support(2))
    assert (changed.value.expected, changed.value.found) == (1, 2)
    with pytest.raises(SessionChanged):
        sessions.support_of(kept)
    assert same(sessions.read(kept.id, ""), grown)


def test_a_session_that_is_gone_is_not_replaced(sessions: SessionKeeper, clock: Clock) -> None:
    with pytest.raises(SessionNotFound):
        sessions.replace(replace(a_session(clock), version=2))


def test_a_full_store_refuses_and_keeps_what_it_has(sessions: SessionKeeper, clock: Clock) -> None:
    kept = [a_session(clock, seed=seed) for seed in range(200)]

    def fill() -> None:
        for number, session in enumerate(kept):
            sessions.put(session, a_support(), an_answer(session, clock, str(number)))

    with pytest.raises(Unavailable, match="the session store is full"):
        fill()
    fitting = sessions.usage().sessions
    assert 0 < fitting < 199
    assert sessions.kept_answer(an_answer(kept[0], clock, str(fitting)).key) is None
    for session in kept[:fitting]:
        assert same(sessions.read(session.id, ""), session)
    sessions.delete(kept[0].id, "")
    sessions.put(kept[fitting], a_support())


def test_a_tenant_has_as_many_sessions_as_it_may_have(
    sessions: SessionKeeper, clock: Clock
) -> None:
    def one(tenant: str) -> Session:
        session = replace(a_session(clock, tenant=tenant), adapted={"b": torch.zeros(1)})
        sessions.put(session)
        return session

    made = [one("one") for _ in range(MAX_SESSIONS)]
    with pytest.raises(TenantLimit, match="at most 150 sessions"):
        one("one")
    one("other")
    sessions.delete(made[0].id, "one")
    one("one")


def test_a_tenant_has_as_many_bytes_as_it_may_have(
    clock: Clock, store_of: Callable[[Bounds], AnyStore]
) -> None:
    bounds = replace(BOUNDS, max_tenant_bytes=MAX_BYTES)
    sessions = keeping(store_of(bounds), 0, clock)
    kept = a_session(clock, tenant="one")
    sessions.put(kept, a_support())
    taken = sessions.usage().stored_bytes
    other = a_session(clock, tenant="other")
    for _ in range(MAX_BYTES // taken - 1):
        sessions.put(a_session(clock, tenant="one"), a_support())
    with pytest.raises(TenantLimit, match="at most 25,000 bytes of sessions of a tenant"):
        sessions.put(a_session(clock, tenant="one"), a_support())
    assert MAX_BYTES - taken < sessions.usage().stored_bytes <= MAX_BYTES
    sessions.put(other, a_support())
    # A session that is replaced by a larger one is bounded as a new one is.
    large = {"head.weight": torch.zeros(2, 4000)}
    with pytest.raises(TenantLimit, match="bytes"):
        sessions.replace(replace(other, version=2, adapted=large), a_support())
    assert same(sessions.read(other.id, "other"), other)
    sessions.delete(kept.id, "one")
    sessions.put(a_session(clock, tenant="one"), a_support())
    sessions.close()


def test_pages_list_a_tenants_live_sessions_newest_first(
    sessions: SessionKeeper, clock: Clock
) -> None:
    made = []
    for number in range(7):
        clock.now += number % 2  # some are made at the same moment
        made.append(a_session(clock, tenant="one"))
        sessions.put(made[-1], a_support())
    sessions.put(a_session(clock, tenant="other"))
    sessions.put(a_session(clock, tenant="one", ttl=0.5))
    clock.now += 1
    expected = sorted(made, key=lambda s: (s.created_at, s.id), reverse=True)
    listed: list[SessionFacts] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = sessions.page("one", limit=3, after=after)
        listed += page.sessions
        after, pages = page.next, pages + 1
    assert [facts.id for facts in listed] == [session.id for session in expected]
    assert listed[0].labels == expected[0].labels
    assert pages == 3


@pytest.mark.parametrize("cursor", ["", "x", "bm9uZQ==", "WzFd", "é"])
def test_a_cursor_that_no_page_gave_is_refused(sessions: SessionKeeper, cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sessions.page("", limit=3, after=cursor)
    assert refused.value.problems[0].code == "bad_cursor"


def test_answers_are_kept_a_day(sessions: SessionKeeper, clock: Clock) -> None:
    kept = a_session(clock, ttl=1e6, lifetime=1e6)
    told = an_answer(kept, clock)
    sessions.put(kept, None, told)
    clock.now += ANSWER_SECONDS
    assert sessions.kept_answer(told.key) == told
    clock.now += 1
    assert sessions.kept_answer(told.key) is None


def test_a_sweep_deletes_old_answers(owned_store: OwnedStore, clock: Clock) -> None:
    sessions = Sessions(owned_store, cache_bytes=0, clock=clock)
    kept = a_session(clock, ttl=1e6, lifetime=1e6)
    told = an_answer(kept, clock)
    sessions.put(kept, None, told)
    clock.now += ANSWER_SECONDS + 1
    sessions.sweep()
    clock.now -= 1
    assert sessions.kept_answer(told.key) is None
    sessions.close()


def test_the_oldest_answers_of_a_tenant_go_first(sessions: SessionKeeper, clock: Clock) -> None:
    for number in range(MAX_ANSWERS + 2):
        clock.now += 1
        kept = a_session(clock)
        sessions.put(kept, None, an_answer(kept, clock, str(number)))
    other = a_session(clock)
    sessions.put(other, None, an_answer(other, clock, "0", tenant="other"))
    answers = [
        sessions.kept_answer(an_answer(kept, clock, str(number)).key)
        for number in range(MAX_ANSWERS + 2)
    ]
    assert [answer is None for answer in answers] == [True] * 2 + [False] * MAX_ANSWERS
    assert sessions.kept_answer(an_answer(other, clock, "0", tenant="other").key) is not None


def test_the_cache_stays_within_its_bound(store: AnyStore, clock: Clock) -> None:
    sessions = keeping(store, 3 * 2 * 64 * 4, clock)
    made = [a_session(clock, seed=seed) for seed in range(6)]
    for session in made:
        sessions.put(session)
        assert sessions.usage().cached_bytes <= 3 * 2 * 64 * 4
    assert sessions.usage().cached_bytes == 3 * 2 * 64 * 4
    for session in made:
        assert same(sessions.read(session.id, ""), session)
    assert sessions.usage().sessions == 6
    sessions.close()


def test_threads_that_put_use_and_delete_leave_nothing_behind(
    sessions: SessionKeeper, clock: Clock
) -> None:
    failures: list[BaseException] = []

    def live(seed: int) -> None:
        try:
            for _ in range(10):
                kept = a_session(clock, seed=seed)
                sessions.put(kept, a_support(seed))
                assert torch.equal(
                    sessions.touch(kept.id, "").adapted["head.weight"], kept.adapted["head.weight"]
                )
                sessions.sweep()
                sessions.delete(kept.id, "")
                with pytest.raises(SessionNotFound):
                    sessions.touch(kept.id, "")
        except BaseException as failed:  # noqa: BLE001
            failures.append(failed)

    threads = [threading.Thread(target=live, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    usage = sessions.usage()
    assert (usage.sessions, usage.stored_bytes, usage.cached_bytes) == (0, 0, 0)

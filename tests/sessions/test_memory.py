from __future__ import annotations

import pytest
import torch
from inkling.errors import SessionNotFound, Unavailable
from inkling.sessions.memory import MemorySessions
from inkling.sessions.session import Session, new_session_id


class Clock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def session(clock: Clock, ttl: float = 60, lifetime: float = 150) -> Session:
    return Session(
        id=new_session_id(),
        identity="0" * 64,
        labels=("a", "b"),
        image_counts=(1, 1),
        steps=5,
        adapted={"head.weight": torch.zeros(2, 64)},
        created_at=clock.now,
        ttl_seconds=ttl,
        expires_at=clock.now + ttl,
        ends_at=clock.now + lifetime,
    )


def test_an_id_has_192_random_bits_and_is_new_each_time() -> None:
    ids = {new_session_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(session_id) for session_id in ids} == {32}


def test_a_session_is_found_until_it_expires(clock: Clock) -> None:
    store = MemorySessions(10_000, clock)
    kept = session(clock)
    store.put(kept)
    clock.now += 59
    assert store.look_at(kept.id) == kept
    clock.now += 1
    with pytest.raises(SessionNotFound):
        store.look_at(kept.id)
    assert store.usage() == (0, 0)


def test_use_moves_the_end_but_never_beyond_the_cap(clock: Clock) -> None:
    store = MemorySessions(10_000, clock)
    kept = session(clock)
    store.put(kept)
    for expected in (1050 + 60, 1100 + 50, 1100 + 50):
        clock.now = min(clock.now + 50, 1120)
        assert store.use(kept.id).expires_at == expected
    clock.now = 1150
    with pytest.raises(SessionNotFound):
        store.use(kept.id)


def test_looking_is_no_use(clock: Clock) -> None:
    store = MemorySessions(10_000, clock)
    kept = session(clock)
    store.put(kept)
    clock.now += 30
    assert store.look_at(kept.id).expires_at == kept.expires_at


def test_deleting_is_forgetting(clock: Clock) -> None:
    store = MemorySessions(10_000, clock)
    kept = session(clock)
    store.put(kept)
    store.delete(kept.id)
    assert store.usage() == (0, 0)
    for call in (store.use, store.look_at, store.delete):
        with pytest.raises(SessionNotFound):
            call(kept.id)


def test_a_full_store_refuses_the_new_and_keeps_the_old(clock: Clock) -> None:
    first, second = session(clock), session(clock)
    store = MemorySessions(first.n_bytes(), clock)
    store.put(first)
    clock.now += 20
    with pytest.raises(Unavailable) as refused:
        store.put(second)
    assert refused.value.retry_after_seconds == 40
    assert store.look_at(first.id) == first
    clock.now += 40
    store.put(second)
    assert store.usage() == (1, second.n_bytes())


def test_sweeping_forgets_what_has_ended_and_nothing_else(clock: Clock) -> None:
    short, long = session(clock, ttl=10), session(clock, ttl=100)
    store = MemorySessions(10_000, clock)
    store.put(short)
    store.put(long)
    clock.now += 50
    store.sweep()
    assert store.usage() == (1, long.n_bytes())

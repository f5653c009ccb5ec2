from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from inkling.errors import Unavailable
from inkling.sessions.database import RESERVE
from inkling.sessions.keeper import MOST_UNSWEPT_SECONDS
from inkling.sessions.reserve import OPENING_BYTES
from inkling.sessions.session import Session
from inkling.sessions.sessions import Sessions
from inkling.sessions.sqlite_store import SqliteStore
from inkling.sessions.store import Bounds

from .conftest import files_that_cannot_grow
from .sample import Clock, a_large_support, a_session, a_support, an_answer, same

BOUNDS = Bounds(10**9, 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Clock, steady: Clock | None = None) -> Sessions:
    return Sessions(
        SqliteStore(folder, BOUNDS), cache_bytes=0, clock=clock, steady=steady or Clock()
    )


def long_lived(clock: Clock, seed: int = 0) -> Session:
    return a_session(clock, ttl=1e6, lifetime=1e6, seed=seed)


def fill(folder: Path) -> Path:
    """Another program takes all the room that a disk has."""
    path = folder / "others"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(2**16)):
            pass
    return path


def test_the_log_never_outgrows_the_reserve(tmp_path: Path, clock: Clock) -> None:
    """However many sessions are made between two sweeps, and however large they are."""
    sessions = opened(tmp_path, clock)
    log, reserve = tmp_path / "sessions.sqlite-wal", tmp_path / RESERVE
    for n_bytes in (*[2**20] * 30, 12 * 2**20, *[2**20] * 12):
        kept = long_lived(clock)
        sessions.put(kept, a_large_support(n_bytes))
        assert log.stat().st_size < reserve.stat().st_size
        if n_bytes > 2**20:
            sessions.delete(kept.id, "")
    sessions.close()


def test_a_session_whose_deletion_would_find_no_room_is_refused(
    tmp_path: Path, clock: Clock
) -> None:
    sessions = opened(tmp_path, clock)
    kept = long_lived(clock)
    sessions.put(kept, a_support())
    with (
        files_that_cannot_grow((tmp_path / RESERVE).stat().st_size),
        pytest.raises(Unavailable, match="the disk is full"),
    ):
        sessions.put(long_lived(clock), a_large_support(12 * 2**20))
    assert same(sessions.read(kept.id, ""), kept)
    assert sessions.usage().sessions == 1
    sessions.put(long_lived(clock), a_large_support(12 * 2**20))
    sessions.close()


def test_a_session_that_finds_no_room_leaves_nothing_half_stored(
    tmp_path: Path, clock: Clock
) -> None:
    sessions = opened(tmp_path, clock)
    kept, refused = long_lived(clock), long_lived(clock, seed=1)
    sessions.put(kept, a_support())
    size = (tmp_path / "sessions.sqlite-wal").stat().st_size
    with files_that_cannot_grow(size + 4096), pytest.raises(Unavailable, match="full"):
        sessions.put(refused, a_support(), an_answer(refused, clock))
    assert same(sessions.read(kept.id, ""), kept)
    assert sessions.usage().sessions == 1
    assert sessions.kept_answer(an_answer(refused, clock).key) is None
    sessions.put(refused, a_support(), an_answer(refused, clock))
    assert same(sessions.read(refused.id, ""), refused)
    sessions.close()


def test_a_start_on_a_disk_that_takes_nothing_serves_what_there_is(
    tmp_path: Path, clock: Clock
) -> None:
    """The files are those that a killed process leaves."""
    first = opened(tmp_path / "first", clock)
    made = [long_lived(clock, seed) for seed in range(3)]
    brief = a_session(clock, ttl=10, lifetime=100)
    for session in (*made, brief):
        first.put(session, a_support())
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    first.close()
    clock.now += 50
    steady = Clock()
    with files_that_cannot_grow(40_000):
        second = opened(tmp_path / "second", clock, steady)
        for session in made:
            assert same(second.read(session.id, ""), session.ending(clock.now + 1e6 - 50))
        assert second.read(brief.id, "").expires_at == clock.now + 10
        assert len(second.page("", limit=10, after=None).sessions) == 4
        with pytest.raises(Unavailable, match="full"):
            second.put(long_lived(clock), a_support())
        with pytest.raises(Unavailable, match="full"):
            second.sweep()
        second.check()
        steady.now += MOST_UNSWEPT_SECONDS + 1
        with pytest.raises(Unavailable):
            second.check()
    second.sweep()
    second.check()
    assert second.read(brief.id, "").expires_at == clock.now + 10
    second.put(long_lived(clock), a_support())
    second.delete(made[0].id, "")
    second.close()


def fill_with_sessions(sessions: Sessions, clock: Clock) -> Iterator[Session]:
    with contextlib.suppress(Unavailable):
        for seed in range(10_000):
            session = long_lived(clock, seed)
            sessions.put(session, a_large_support(2**18))
            yield session


def test_on_a_disk_that_sessions_filled_deleting_makes_room(small_disk: Path, clock: Clock) -> None:
    with contextlib.closing(opened(small_disk, clock)) as sessions:
        made: list[Session] = []
        for _ in range(3):
            made += fill_with_sessions(sessions, clock)
            assert sessions.usage().sessions == len(made) > 40
            for session in made:
                assert same(sessions.read(session.id, ""), session)
            gone, made[:20] = made[:20], []
            for session in gone:
                sessions.delete(session.id, "")
            sessions.sweep()
            sessions.check()
            extra = long_lived(clock)
            sessions.put(extra, a_support())
            sessions.delete(extra.id, "")


@pytest.mark.parametrize("restarted", [False, True])
def test_on_a_disk_that_another_program_filled_deleting_goes_on(
    small_disk: Path, clock: Clock, restarted: bool
) -> None:
    """The log is as long then as it ever is."""
    sessions = opened(small_disk, clock)
    made = [long_lived(clock, seed) for seed in range(40)]
    for session in made:
        sessions.put(session, a_large_support(2**18))
    others = fill(small_disk)
    if restarted:
        sessions.close()
        fill(small_disk)
        sessions = opened(small_disk, clock)
    with pytest.raises(Unavailable, match="full"):
        sessions.put(long_lived(clock), a_large_support(2**18))
    for session in made:
        assert same(sessions.read(session.id, ""), session)
    for session in made[:20]:
        sessions.delete(session.id, "")
    sessions.sweep()
    sessions.check()
    assert (small_disk / RESERVE).stat().st_size > OPENING_BYTES
    fill(small_disk)
    for session in made[20:30]:
        sessions.delete(session.id, "")
    others.unlink()
    sessions.sweep()
    sessions.put(long_lived(clock), a_large_support(2**18))
    assert sessions.usage().sessions == 11
    sessions.close()

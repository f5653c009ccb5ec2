from __future__ import annotations

from pathlib import Path

import pytest
from inkling.errors import SessionNotFound
from inkling.sessions.clock import advancing_clock
from inkling.sessions.sessions import Sessions
from inkling.sessions.sqlite_store import SqliteStore
from inkling.sessions.store import Bounds

from .sample import Clock, a_session, a_support, an_answer

DAY = 86_400.0
NOW, IN_1970, IN_2099 = 1_800_000_000.0, 100.0, 4_080_000_000.0


def test_steps_of_the_machines_clock_end_nothing_and_time_goes_on() -> None:
    wall, steady = Clock(), Clock()
    wall.now, steady.now = 1_700_000_000.0, 50.0
    clock = advancing_clock(wall, steady)
    assert clock() == 1_700_000_000.0
    for step in (86_400.0, -200_000.0):
        wall.now += step
        before = clock()
        steady.now += 7
        assert clock() == before + 7


class Machine:
    """A machine whose clock may be wrong when it starts, and on which one server runs at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wall, self.steady = Clock(), Clock()

    def start(self, wall: float) -> Sessions:
        self.wall.now = wall
        self.clock = advancing_clock(self.wall, self.steady)
        store = SqliteStore(self.folder, Bounds(10**9, 100))
        return Sessions(store, cache_bytes=0, clock=self.clock, steady=self.steady)

    def wait(self, seconds: float) -> None:
        self.wall.now += seconds
        self.steady.now += seconds

    def a_session(self, sessions: Sessions) -> str:
        """A session of an hour of life, a week at most, with a keyed answer."""
        now = Clock()
        now.now = self.clock()
        kept = a_session(now, ttl=3600, lifetime=7 * DAY)
        sessions.put(kept, a_support(), an_answer(kept, now, kept.id))
        return kept.id


@pytest.mark.parametrize(
    "starts",
    [
        (NOW, IN_1970, NOW + 60),
        (NOW, IN_2099, NOW + 60),
        (IN_1970, NOW, IN_1970, NOW),
        (IN_2099, NOW, IN_2099, NOW),
        (NOW, NOW - 3 * DAY, NOW + 60),
        (NOW, NOW + 30 * DAY, NOW + 60),
        (NOW, IN_1970, IN_2099, NOW),
    ],
)
def test_no_session_is_lost_to_a_clock_that_was_wrong_at_a_start(
    tmp_path: Path, starts: tuple[float, ...]
) -> None:
    """Each process makes a session, uses all there are, and lives for half an hour."""
    machine, made = Machine(tmp_path), list[str]()
    for wall in starts:
        sessions = machine.start(wall)
        made.append(machine.a_session(sessions))
        for _ in range(2):
            machine.wait(900)
            sessions.sweep()
            for session_id in made:
                told = sessions.touch(session_id, "").expires_at
                assert told == machine.clock() + 3600
        assert len(sessions.page("", limit=100, after=None).sessions) == len(made)
        sessions.close()


@pytest.mark.parametrize("wall", [IN_1970, NOW - 3 * DAY, NOW + 60, NOW + 30 * DAY, IN_2099])
def test_what_is_not_used_ends_whatever_the_clock_said(tmp_path: Path, wall: float) -> None:
    machine = Machine(tmp_path)
    first = machine.start(NOW)
    session_id = machine.a_session(first)
    first.close()
    second = machine.start(wall)
    assert second.read(session_id, "").expires_at <= machine.clock() + 3600
    machine.wait(3601)
    second.sweep()
    with pytest.raises(SessionNotFound):
        second.read(session_id, "")
    assert second.usage().sessions == 0
    second.close()


@pytest.mark.parametrize("wall", [IN_1970, NOW + 60, IN_2099])
def test_a_session_in_use_ends_after_its_lifetime_whatever_the_clock_said(
    tmp_path: Path, wall: float
) -> None:
    machine = Machine(tmp_path)
    first = machine.start(NOW)
    session_id = machine.a_session(first)
    first.close()
    second = machine.start(wall)
    for _ in range(7 * 24 * 2 + 1):
        machine.wait(1800)
        second.sweep()
        try:
            second.touch(session_id, "")
        except SessionNotFound:
            break
    else:
        pytest.fail("it never ended")
    second.close()


@pytest.mark.parametrize("wall", [IN_1970, NOW + 60, IN_2099])
def test_answers_are_given_again_for_a_day_whatever_the_clock_said(
    tmp_path: Path, wall: float
) -> None:
    machine = Machine(tmp_path)
    first = machine.start(NOW)
    session_id = machine.a_session(first)
    key = an_answer(first.read(session_id, ""), Clock(), session_id).key
    first.close()
    second = machine.start(wall)
    second.sweep()
    assert second.kept_answer(key) is not None
    machine.wait(DAY + 1)
    second.sweep()
    assert second.kept_answer(key) is None
    second.close()

from __future__ import annotations

from inkling.sessions.clock import advancing_clock

from .sample import Clock


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

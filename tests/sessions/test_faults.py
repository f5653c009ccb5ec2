from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from inkling.errors import BadSetting, SessionNotFound, Unavailable
from inkling.sessions.connections import DATABASE
from inkling.sessions.database import LOSS_TOLD_SECONDS
from inkling.sessions.session import Session
from inkling.sessions.sessions import Sessions
from inkling.sessions.sqlite_store import SqliteStore
from inkling.sessions.store import Bounds

from .sample import Clock, a_large_support, a_session, a_support, an_answer, same

BOUNDS = Bounds(10**9, 1000)
LOG, INDEX = f"{DATABASE}-wal", f"{DATABASE}-shm"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Clock) -> Sessions:
    return Sessions(SqliteStore(folder, BOUNDS), cache_bytes=0, clock=clock, steady=Clock())


def filled(sessions: Sessions, clock: Clock, n_sessions: int = 40) -> list[Session]:
    made = [a_session(clock, ttl=1e6, lifetime=1e6, seed=seed) for seed in range(n_sessions)]
    for seed, session in enumerate(made):
        sessions.put(session, a_support(seed), an_answer(session, clock, str(seed)))
    sessions.sweep()
    return made


def filled_beyond_memory(sessions: Sessions, clock: Clock) -> list[Session]:
    """More sessions than a connection keeps pages of."""
    made = [a_session(clock, ttl=1e6, lifetime=1e6, seed=seed) for seed in range(40)]
    for session in made:
        sessions.put(session, a_large_support(100_000))
    sessions.sweep()
    return made


def refused(sessions: Sessions, clock: Clock, why: str) -> None:
    """Nothing new is taken on, and whoever watches the store hears why."""
    with pytest.raises(Unavailable, match=why):
        sessions.put(a_session(clock), a_support())
    with pytest.raises(Unavailable, match=why):
        sessions.check()


def lives(sessions: Sessions, session: Session) -> bool:
    with contextlib.suppress(SessionNotFound):
        return same(sessions.read(session.id, ""), session)
    return False


def remove_file(folder: Path) -> None:
    (folder / DATABASE).unlink()


def remove_all_files(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def move_file(folder: Path) -> None:
    (folder / DATABASE).rename(folder / "elsewhere")


def move_folder(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def remove_log(folder: Path) -> None:
    (folder / LOG).unlink()


def remove_index(folder: Path) -> None:
    (folder / INDEX).unlink()


def replace_by_nothing(folder: Path) -> None:
    (folder / DATABASE).unlink()
    (folder / DATABASE).touch()


@pytest.mark.parametrize(
    "remove",
    [
        remove_file,
        remove_all_files,
        remove_folder,
        move_file,
        move_folder,
        remove_log,
        remove_index,
        replace_by_nothing,
    ],
)
def test_what_was_removed_is_told_and_written_anew_with_all_sessions(
    tmp_path: Path, clock: Clock, remove: Callable[[Path], None]
) -> None:
    folder = tmp_path / "state"
    sessions = opened(folder, clock)
    made = filled(sessions, clock)
    made.append(a_session(clock, ttl=1e6, lifetime=1e6, seed=99))
    sessions.put(made[-1], a_support(99))
    remove(folder)
    refused(sessions, clock, "removed")
    assert all(lives(sessions, session) for session in made)
    sessions.delete(made[0].id, "")
    sessions.sweep()
    sessions.check()
    made.append(a_session(clock, ttl=1e6, lifetime=1e6, seed=100))
    sessions.put(made[-1], a_support(100))
    sessions.close()
    again = opened(folder, clock)
    assert not lives(again, made[0])
    assert all(lives(again, session) for session in made[1:])
    assert again.usage().sessions == len(made) - 1
    support = again.support_of(made[-2])
    assert support is not None
    assert support.images.equal(a_support(99).images)
    answer = an_answer(made[1], clock, "1")
    assert again.kept_answer(answer.key) == answer
    again.close()


def test_another_file_in_its_place_is_told_and_left_alone(tmp_path: Path, clock: Clock) -> None:
    other = opened(tmp_path / "other", clock)
    filled(other, clock, 2)
    other.close()
    folder = tmp_path / "state"
    sessions = opened(folder, clock)
    made = filled(sessions, clock)
    (folder / DATABASE).rename(folder / "first")
    shutil.copy(tmp_path / "other" / DATABASE, folder / DATABASE)
    content = (folder / DATABASE).read_bytes()
    refused(sessions, clock, "another file was put in its place")
    sessions.sweep()
    refused(sessions, clock, "another file was put in its place")
    assert (folder / DATABASE).read_bytes() == content
    assert all(lives(sessions, session) for session in made)
    (folder / "first").replace(folder / DATABASE)
    sessions.check()
    sessions.put(a_session(clock), a_support())
    shutil.copy(folder / DATABASE, tmp_path / "copy")
    (tmp_path / "copy").replace(folder / DATABASE)
    refused(sessions, clock, "another file was put in its place")
    (folder / DATABASE).unlink()
    sessions.sweep()
    sessions.check()
    sessions.close()
    again = opened(folder, clock)
    assert again.usage().sessions == len(made) + 1
    again.close()


def test_files_that_were_made_read_only_are_told(
    tmp_path: Path, clock: Clock, read_only: Callable[[Path], Callable[[], None]]
) -> None:
    sessions = opened(tmp_path, clock)
    made = filled(sessions, clock)
    make_writable = read_only(tmp_path)
    refused(sessions, clock, "read-only")
    assert all(lives(sessions, session) for session in made)
    make_writable()
    sessions.check()
    sessions.put(a_session(clock), a_support())
    sessions.sweep()
    sessions.close()


def overwrite(path: Path, share: float, n_bytes: int) -> None:
    """Write nonsense into the middle of a file, as a failing disk or a wrong command does."""
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * share) // 4096 * 4096)
        file.write(random.Random(0).randbytes(n_bytes))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("restarted", [False, True])
def test_damage_is_told_and_what_it_left_goes_on(
    tmp_path: Path, clock: Clock, share: float, restarted: bool
) -> None:
    sessions = opened(tmp_path, clock)
    made = filled_beyond_memory(sessions, clock)
    if restarted:
        sessions.close()
    overwrite(tmp_path / DATABASE, share, 200_000)
    os.utime(tmp_path / DATABASE)
    if restarted:
        sessions = opened(tmp_path, clock)
    sessions.sweep()
    left = []
    for session in made:
        try:
            if lives(sessions, session):
                left.append(session)
                sessions.support_of(session)
        except Unavailable:
            sessions.sweep()
    assert len(made) / 2 < sessions.usage().sessions < len(made)
    with pytest.raises(Unavailable, match=r"damaged, and \d+ sessions in it are lost"):
        sessions.check()
    sessions.put(a_session(clock, ttl=1e6, lifetime=1e6), a_support())
    kept = sessions.usage().sessions
    sessions.close()
    again = opened(tmp_path, clock)
    again.check()
    assert again.usage().sessions == kept
    again.close()


def test_a_loss_is_told_for_half_a_minute(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = opened(tmp_path, clock)
    filled_beyond_memory(sessions, clock)
    overwrite(tmp_path / DATABASE, 0.5, 200_000)
    sessions.sweep()
    with pytest.raises(Unavailable, match="lost"):
        sessions.check()
    steady = Clock()
    monkeypatch.setattr("inkling.sessions.database.time.monotonic", steady)
    steady.now = 1e9 + LOSS_TOLD_SECONDS
    sessions.check()
    sessions.close()


def test_a_file_that_was_emptied_loses_sessions_and_says_so(tmp_path: Path, clock: Clock) -> None:
    sessions = opened(tmp_path, clock)
    made = filled_beyond_memory(sessions, clock)
    with (tmp_path / DATABASE).open("r+b") as file:
        file.truncate()
    refused(sessions, clock, "removed")
    sessions.sweep()
    with pytest.raises(Unavailable, match=r"damaged, and \d+ sessions in it are lost"):
        sessions.check()
    assert sum(lives(sessions, session) for session in made) == sessions.usage().sessions
    kept = a_session(clock)
    sessions.put(kept, a_support())
    assert lives(sessions, kept)
    sessions.close()


def test_a_damage_that_the_structure_does_not_show_is_not_predicted_with(
    tmp_path: Path, clock: Clock
) -> None:
    sessions = opened(tmp_path, clock)
    made = filled(sessions, clock, 3)
    sessions.close()
    path = tmp_path / DATABASE
    content = path.read_bytes()
    needle = made[1].adapted["head.weight"].numpy().tobytes()[100:164]
    path.write_bytes(content.replace(needle, needle[::-1]))
    again = opened(tmp_path, clock)
    with pytest.raises(Unavailable, match="damaged"):
        again.read(made[1].id, "")
    refused(again, clock, "damaged")
    again.sweep()
    assert [lives(again, session) for session in made] == [True, False, True]
    with pytest.raises(Unavailable, match="1 sessions in it are lost"):
        again.check()
    again.close()


def test_a_file_touched_by_others_and_whole_goes_on(tmp_path: Path, clock: Clock) -> None:
    sessions = opened(tmp_path, clock)
    made = filled(sessions, clock)
    os.utime(tmp_path / DATABASE, (1, 1))
    sessions.sweep()
    sessions.check()
    assert all(lives(sessions, session) for session in made)
    sessions.close()


def test_a_file_damaged_beyond_reading_is_refused_with_what_to_do(
    tmp_path: Path, clock: Clock
) -> None:
    sessions = opened(tmp_path, clock)
    filled(sessions, clock)
    sessions.close()
    overwrite(tmp_path / DATABASE, 0, 20_000)
    with pytest.raises(BadSetting, match="damaged; mend that, or move the file away to start"):
        opened(tmp_path, clock)
    (tmp_path / DATABASE).unlink()
    opened(tmp_path, clock).close()

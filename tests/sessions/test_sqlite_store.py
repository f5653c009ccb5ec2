from __future__ import annotations

import json
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from inkling.errors import BadSetting, Unavailable
from inkling.sessions.connections import DATABASE
from inkling.sessions.database import RESERVE
from inkling.sessions.schema import FIRST, migrate
from inkling.sessions.session import IdempotencyKey, KeptAnswer
from inkling.sessions.sessions import Sessions
from inkling.sessions.sqlite_store import SqliteStore
from inkling.sessions.store import Bounds

from .sample import Clock, a_large_support, a_session, a_support, an_answer, same

BOUNDS = Bounds(10**9, 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Clock, cache_bytes: int = 0) -> Sessions:
    return Sessions(SqliteStore(folder, BOUNDS), cache_bytes=cache_bytes, clock=clock)


def test_sessions_outlive_the_process_that_made_them(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    kept = a_session(clock)
    first.put(kept, a_support(), an_answer(kept, clock))
    clock.now += 10
    used = first.touch(kept.id, "")
    first.close()
    second = opened(tmp_path, clock)
    found = second.read(kept.id, "")
    assert same(found, used.ending(found.expires_at))
    assert found.expires_at == used.expires_at == 1070
    assert second.support_of(found) is not None
    assert second.kept_answer(an_answer(kept, clock).key) is not None
    assert second.usage().sessions == 1
    second.close()


def test_an_end_that_was_moved_and_not_stored_is_kept_for_its_user(
    tmp_path: Path, clock: Clock
) -> None:
    """The first process is gone before it swept: only the connection is cut here."""
    store = SqliteStore(tmp_path, BOUNDS)
    first = Sessions(store, cache_bytes=0, clock=clock)
    kept = a_session(clock, ttl=60, lifetime=1000)
    first.put(kept)
    clock.now += 59.5
    told = first.touch(kept.id, "").expires_at
    store.close()
    clock.now += 10
    second = opened(tmp_path, clock)
    assert second.read(kept.id, "").expires_at >= told
    second.close()


LOOP = """
import sys
from pathlib import Path
from inkling.sessions.sessions import Sessions
from inkling.sessions.sqlite_store import SqliteStore
from inkling.sessions.store import Bounds
sys.path.insert(0, sys.argv[2])
from sample import Clock, a_large_support, a_session, a_support
clock = Clock()
sessions = Sessions(SqliteStore(Path(sys.argv[1]), Bounds(10**9, 100)), cache_bytes=0, clock=clock)
seed = 0
while True:
    kept = a_session(clock, ttl=1e6, lifetime=1e6, seed=seed)
    sessions.put(kept, a_support(seed))
    print(kept.id, seed, flush=True)
    seed += 1
"""


def test_a_killed_process_loses_no_session_that_it_has_told_of(
    tmp_path: Path, clock: Clock
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(tmp_path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline().split() for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    told += [line.split() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    sessions = opened(tmp_path, clock)
    for session_id, seed in told:
        expected = a_session(clock, ttl=1e6, lifetime=1e6, seed=int(seed)).adapted
        found = sessions.read(session_id, "")
        assert found.adapted["head.weight"].equal(expected["head.weight"])
        support = sessions.support_of(found)
        assert support is not None
        assert support.images.equal(a_support(int(seed)).images)
    sessions.close()


def test_a_second_owner_is_refused(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    with pytest.raises(BadSetting, match="another process keeps its sessions there"):
        opened(tmp_path, clock)
    first.close()
    opened(tmp_path, clock).close()


def test_files_are_for_their_owner_alone(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "state"
    sessions = opened(folder, clock)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / DATABASE).stat().st_mode) == 0o600
    sessions.close()


def test_what_was_deleted_cannot_be_found_in_the_files(tmp_path: Path, clock: Clock) -> None:
    sessions = opened(tmp_path, clock)
    made = [a_session(clock, seed=seed) for seed in range(200)]
    needles: list[bytes] = []
    for seed, session in enumerate(made):
        support = a_support(seed)
        sessions.put(session, support, an_answer(session, clock, str(seed)))
        needles += [
            support.images.numpy().tobytes()[400:464],
            session.adapted["head.weight"].numpy().tobytes()[:64],
        ]

    def content() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name != RESERVE)

    before = content()
    assert all(needle in before for needle in needles)
    sessions.sweep()
    size = len(content())
    for session in made:
        sessions.delete(session.id, "")
    sessions.sweep()
    after = content()
    assert not any(needle in after for needle in needles)
    assert "ž b".encode() not in after
    assert b'{"session"' not in after
    assert len(after) < size / 5
    sessions.close()


def tensors_of_version_1(name: str, dtype: str, shape: list[int], content: bytes) -> bytes:
    """A safetensors file of one tensor, byte by byte."""
    entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, len(content)]}
    header = json.dumps({name: entry}).encode()
    return struct.pack("<Q", len(header)) + header + content


def test_sessions_stored_by_version_1_are_still_read(tmp_path: Path, clock: Clock) -> None:
    """The stored bytes are written out here, so that no change of the code can change them."""
    opened(tmp_path, clock).close()
    facts = (
        '{"identity": "abc", "labels": ["a", "ž b"], "image_counts": [1, 2], "steps": 5, '
        '"keeps_support": true}'
    )
    values = (0.5, -1.0, 2.0, 3.25)
    weights = tensors_of_version_1("head.weight", "F32", [2, 2], struct.pack("<4f", *values))
    database = sqlite3.connect(tmp_path / DATABASE)
    assert database.execute("PRAGMA application_id").fetchone() == (21_711_950,)
    database.execute(
        "INSERT INTO sessions (id, tenant, version, created_at, expires_at, ttl_seconds, ends_at, "
        "bytes, facts) VALUES ('first', 'owner', 3, 900.0, 1050.0, 60.0, 2000.0, ?, ?)",
        (len(weights) + len(facts.encode()), facts.encode()),
    )
    database.execute(
        "INSERT INTO tensors (session_id, weights, support) VALUES ('first', ?, NULL)", (weights,)
    )
    database.execute(
        "INSERT INTO answers (tenant, route, key, digest, session_id, status, content, created_at) "
        "VALUES ('owner', 'POST /adapt', 'k', 'd', 'first', 201, ?, 900.0)",
        (b"{}",),
    )
    database.commit()
    database.close()
    sessions = opened(tmp_path, clock)
    session = sessions.read("first", "owner")
    assert session.adapted["head.weight"].flatten().tolist() == list(values)
    assert (session.labels, session.image_counts) == (("a", "ž b"), (1, 2))
    assert (session.identity, session.steps, session.version) == ("abc", 5, 3)
    assert (session.created_at, session.expires_at, session.ends_at) == (900, 1060, 2000)
    answer = sessions.kept_answer(IdempotencyKey("owner", "POST /adapt", "k"))
    assert answer == KeptAnswer(
        IdempotencyKey("owner", "POST /adapt", "k"), "d", "first", 201, b"{}", 900
    )
    sessions.close()


def test_a_database_is_brought_to_the_newest_version(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path, (FIRST,))
    row = "INSERT INTO sessions VALUES ('id', '', 1, 0, 9, 9, 9, 3, ?)"
    connection.execute(row, (b"{}",))
    second = "ALTER TABLE sessions ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'"
    migrate(connection, path, (FIRST, second))
    migrate(connection, path, (FIRST, second))
    assert connection.execute("SELECT id, colour FROM sessions").fetchall() == [("id", "red")]
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    with pytest.raises(BadSetting, match="a newer Inkling has written it"):
        migrate(connection, path, (FIRST,))
    connection.close()


def test_a_step_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path, (FIRST,))
    broken = "ALTER TABLE sessions ADD COLUMN colour TEXT; SELECT * FROM nowhere"
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, path, (FIRST, broken))
    connection.close()
    again = sqlite3.connect(path, isolation_level=None)
    assert again.execute("PRAGMA user_version").fetchone() == (1,)
    columns = [row[1] for row in again.execute("PRAGMA table_info(sessions)")]
    assert "colour" not in columns
    again.close()


def test_other_files_are_refused_and_left_alone(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / DATABASE
    path.write_bytes(b"no database at all, but a text of some length " * 100)
    before = path.read_bytes()
    with pytest.raises(BadSetting, match="expected a session database"):
        opened(tmp_path, clock)
    assert path.read_bytes() == before
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    with pytest.raises(BadSetting, match="got another one"):
        opened(tmp_path, clock)


def test_sweeping_beside_many_new_sessions_refuses_none(tmp_path: Path, clock: Clock) -> None:
    sessions = opened(tmp_path, clock)
    made = [a_session(clock, ttl=1e6, lifetime=1e6, seed=seed) for seed in range(150)]
    large = a_large_support(160_000)

    def put_all() -> None:
        for session in made:
            sessions.put(session, large)

    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(put_all)
        while not putting.done():
            sessions.sweep()
        putting.result()
    assert all(same(sessions.read(session.id, ""), session) for session in made)
    sessions.close()


def test_a_store_that_was_not_swept_for_long_counts_as_away(tmp_path: Path, clock: Clock) -> None:
    steady = Clock()
    sessions = Sessions(SqliteStore(tmp_path, BOUNDS), cache_bytes=0, clock=clock, steady=steady)
    steady.now += 30
    sessions.check()
    steady.now += 1
    with pytest.raises(Unavailable, match="last deleted 31 s ago"):
        sessions.check()
    sessions.sweep()
    sessions.check()
    sessions.close()

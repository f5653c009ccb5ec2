"""Writing a session database anew, from what an open connection can still read of it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from .faults import is_damage
from .integrity import is_intact
from .schema import migrate

_ID_QUERIES = (
    "SELECT id FROM sessions ORDER BY id",
    "SELECT id FROM sessions ORDER BY id DESC",
    "SELECT id FROM sessions ORDER BY expires_at",
    "SELECT id FROM sessions ORDER BY expires_at DESC",
)
"""Each way to come by ids reads other pages, or the same from the other side of a damaged one."""
_SESSION = (
    "id, tenant, version, created_at, expires_at, ttl_seconds, ends_at, bytes, facts, "
    "facts_checksum"
)
_TENSORS = "session_id, weights, support, weights_checksum, support_checksum"
_ANSWER = "tenant, route, key, digest, session_id, status, content, created_at"


def rescue(source: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """Copy all sessions and answers that can be read into a new database.

    Gives the number of sessions whose ids could be read, and of those that were copied. The file
    at ``path`` is on the disk when this returns. Raises sqlite3.DatabaseError and OSError where it
    cannot be written.
    """
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as target:
            target.execute("PRAGMA auto_vacuum = INCREMENTAL")
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            migrate(target, path)
            target.execute("BEGIN")
            ids = _ids(source)
            copied = sum(_copy_session(source, target, each) for each in ids)
            _copy_answers(source, target)
            target.execute("COMMIT")
        _flush(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return len(ids), copied


def install(made: Path, path: Path, beside: Iterable[Path]) -> None:
    """Put a database that was made in the place of another, whose other files go. Raises OSError.

    A log that stayed would be taken for the new database's.
    """
    for each in beside:
        each.unlink(missing_ok=True)
    made.replace(path)
    _flush(path.parent)


def _ids(source: sqlite3.Connection) -> list[str]:
    found: dict[str, None] = {}
    for query in _ID_QUERIES:
        with _skipping_damage():
            for (session_id,) in source.execute(query):
                found[session_id] = None
    return list(found)


def _copy_session(source: sqlite3.Connection, target: sqlite3.Connection, session_id: str) -> bool:
    facts = tensors = None
    with _skipping_damage():
        query = f"SELECT {_SESSION} FROM sessions WHERE id = ?"  # noqa: S608
        facts = source.execute(query, (session_id,)).fetchone()
        query = f"SELECT {_TENSORS} FROM tensors WHERE session_id = ?"  # noqa: S608
        tensors = source.execute(query, (session_id,)).fetchone()
    if facts is None or tensors is None:
        return False
    _, weights, support, weights_sum, support_sum = tensors
    pairs = (facts[-2:], (weights, weights_sum), (support, support_sum))
    if not all(is_intact(content, stored) for content, stored in pairs):
        return False
    _insert(target, "sessions", _SESSION, facts)
    _insert(target, "tensors", _TENSORS, tensors)
    return True


def _copy_answers(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    for direction in ("ASC", "DESC"):
        with _skipping_damage():
            query = f"SELECT {_ANSWER} FROM answers ORDER BY rowid {direction}"  # noqa: S608
            for row in source.execute(query):
                _insert(target, "answers", _ANSWER, row)


def _insert(target: sqlite3.Connection, table: str, columns: str, row: tuple[object, ...]) -> None:
    marks = ", ".join("?" * len(row))
    target.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", row)  # noqa: S608


@contextlib.contextmanager
def _skipping_damage() -> Iterator[None]:
    """Leave what is damaged; a disk that cannot be read or written is no reason to lose it."""
    try:
        yield
    except sqlite3.DatabaseError as failed:
        if not is_damage(failed):
            raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

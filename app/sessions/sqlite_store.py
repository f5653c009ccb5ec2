"""A store in an SQLite file on a local disk, owned by one process: it survives that process."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import BadSetting, Unavailable
from .schema import migrate
from .session import IdempotencyKey, KeptAnswer
from .store import COLUMNS, STORE_RETRY_SECONDS, Bounds, Record

DATABASE, OWNER, RESERVE = "sessions.sqlite", "sessions.owner", "sessions.reserve"
READERS = 4
LOG_BYTES = 2**20
"""Size from which on the write-ahead log is carried over into the database."""
RESERVE_BYTES = 4 * 2**20
"""Room that is kept on the disk for deleting when it is full."""
FACTS = ", ".join((*COLUMNS, "facts"))
Result = TypeVar("Result")


@dataclass
class Transaction:
    """A transaction of the writer, and what the store grows by when it is committed."""

    connection: sqlite3.Connection
    grown_sessions: int = 0
    grown_bytes: int = 0


class SqliteStore:
    """A bounded store: a new session that does not fit is refused, live ones stay.

    One connection writes, behind a lock; a few others read beside it (write-ahead log), so that
    reading a session does not wait for another one to reach the disk.

    Deleting needs room too, for the log. A file of zeros beside the database keeps that room: it
    is given up when the disk is full and something is to be deleted, and made anew afterwards.
    """

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        """Open or make the database in ``folder``, and claim it.

        Raises BadSetting when the folder cannot be used, another process owns it, or the file is
        not a session database of a version that is known.
        """
        self._bounds = bounds
        self._path, self._log = folder / DATABASE, folder / f"{DATABASE}-wal"
        self._reserve = folder / RESERVE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = _claim(folder)
            self._path.touch(mode=0o600)
        except OSError as refused:
            raise BadSetting(f"session folder {folder}: {refused}") from None
        try:
            self._writer = self._connect()
            # It has to be set before the first table is made.
            self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute("PRAGMA secure_delete = ON")
            # `reclaim` does it instead: an automatic one can fail a commit that has happened.
            self._writer.execute("PRAGMA wal_autocheckpoint = 0")
            migrate(self._writer, self._path)
            self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
            for _ in range(READERS):
                self._readers.put(self._connect())
            total = "SELECT count(*), coalesce(sum(bytes), 0) FROM sessions"
            self._sessions, self._bytes = self._writer.execute(total).fetchone()
        except sqlite3.DatabaseError as broken:
            self._owner.close()
            raise BadSetting(f"{self._path}: expected a session database: {broken}") from None
        self._lock = threading.Lock()
        self._freed = True
        self._keep_reserve()

    def insert(self, record: Record, answer: KeptAnswer | None) -> None:
        """Keep a new session. Raises Unavailable when bound or disk leave no room for it."""
        with self._writing() as transaction:
            connection = transaction.connection
            self._check_tenant(connection, record.tenant)
            self._check_room(record.n_bytes())
            connection.execute(
                f"INSERT INTO sessions ({FACTS}, bytes) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*(getattr(record, name) for name in COLUMNS), record.facts, record.n_bytes()),
            )
            connection.execute(
                "INSERT INTO tensors VALUES (?, ?, ?)", (record.id, record.weights, record.support)
            )
            self._keep_answer(connection, answer)
            transaction.grown_sessions, transaction.grown_bytes = 1, record.n_bytes()

    def replace(self, record: Record, answer: KeptAnswer | None) -> bool:
        """Replace the version before this one; False where another version or none is stored."""
        with self._writing() as transaction:
            connection = transaction.connection
            old = connection.execute(
                "SELECT bytes FROM sessions WHERE id = ? AND version = ?",
                (record.id, record.version - 1),
            ).fetchone()
            if old is None:
                return False
            transaction.grown_bytes = record.n_bytes() - old[0]
            self._check_room(transaction.grown_bytes)
            connection.execute(
                "UPDATE sessions SET version = ?, expires_at = ?, facts = ?, bytes = ? "
                "WHERE id = ?",
                (record.version, record.expires_at, record.facts, record.n_bytes(), record.id),
            )
            connection.execute(
                "UPDATE tensors SET weights = ?, support = ? WHERE session_id = ?",
                (record.weights, record.support, record.id),
            )
            self._keep_answer(connection, answer)
        self._freed = True
        return True

    def find(self, session_id: str) -> Record | None:
        """A session without its support set."""
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT {FACTS}, weights FROM sessions "  # noqa: S608
                "JOIN tensors ON session_id = id WHERE id = ?",
                (session_id,),
            ).fetchone()
        return row and Record(*row)

    def find_support(self, session_id: str, version: int) -> bytes | None:
        """The support set of one version of a session, if that is stored and has one."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT support FROM sessions JOIN tensors ON session_id = id "
                "WHERE id = ? AND version = ?",
                (session_id, version),
            ).fetchone()
        support: bytes | None = row and row[0]
        return support

    def page(
        self, tenant: str, now: float, limit: int, after: tuple[float, str] | None
    ) -> Sequence[Record]:
        """Live sessions of a tenant by creation and id, downwards from ``after``."""
        created_at, session_id = (float("inf"), "") if after is None else after
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {FACTS} FROM sessions WHERE tenant = ? "  # noqa: S608
                "AND (created_at, id) < (?, ?) AND expires_at > ? "
                "ORDER BY created_at DESC, id DESC LIMIT ?",
                (tenant, created_at, session_id, now, limit),
            ).fetchall()
        return [Record(*row) for row in rows]

    def delete(self, session_id: str) -> bool:
        """Delete a session and the content of its answers; False where it is not stored."""
        return bool(self._delete_where("id = ?", session_id))

    def delete_ended(self, now: float) -> Sequence[str]:
        """Delete the sessions that have ended by ``now``, and return their ids."""
        return self._delete_where("expires_at <= ?", now)

    def move_ends(self, ends: Mapping[str, float]) -> None:
        """Move the ends of sessions to later moments."""
        if not ends:
            return
        rows = [(expires_at, session_id) for session_id, expires_at in ends.items()]
        update = "UPDATE sessions SET expires_at = max(expires_at, ?) WHERE id = ?"
        self._even_if_full(lambda writing: writing.connection.executemany(update, rows))

    def touch_all(self, now: float) -> None:
        """Extend every session as if it had just been used."""
        update = "UPDATE sessions SET expires_at = max(expires_at, min(? + ttl_seconds, ends_at))"
        self._even_if_full(lambda writing: writing.connection.execute(update, (now,)))

    def find_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer that a keyed call got, if it is still kept."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT digest, session_id, status, content, created_at FROM answers "
                "WHERE tenant = ? AND route = ? AND key = ?",
                (key.tenant, key.route, key.key),
            ).fetchone()
        return row and KeptAnswer(key, *row)

    def delete_answers(self, before: float) -> None:
        """Delete the answers given before a moment."""
        with self._reading() as connection:
            query = "SELECT count(*) FROM answers WHERE created_at < ?"
            (old,) = connection.execute(query, (before,)).fetchone()
        if old:
            delete = "DELETE FROM answers WHERE created_at < ?"
            self._even_if_full(lambda writing: writing.connection.execute(delete, (before,)))
            self._freed = True

    def usage(self) -> tuple[int, int]:
        """The number of sessions, and the bytes that they take."""
        with self._lock:
            return self._sessions, self._bytes

    def reclaim(self) -> None:
        """Give the pages of what was deleted, those of the log too, back to the disk."""
        if self._log_is_long():
            # Beside the writer, which the rest of the work then blocks for a moment only.
            with self._reading() as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        with self._lock, _refusing():
            if self._freed:
                # `execute` would stop after the first page.
                self._writer.executescript("PRAGMA incremental_vacuum")
                (busy, _, _) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._freed = bool(busy)
            elif self._log_is_long():
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._keep_reserve()

    def _log_is_long(self) -> bool:
        return self._log.exists() and self._log.stat().st_size > LOG_BYTES

    def check(self) -> None:
        """Read from the file. Raises Unavailable."""
        with self._reading() as connection:
            connection.execute("SELECT 1 FROM sessions LIMIT 1").fetchone()

    def close(self) -> None:
        """Close the file, after which another process may own it."""
        with self._lock:
            for _ in range(READERS):
                self._readers.get().close()
            self._writer.close()
            self._owner.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=30
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -1024")
        return connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Transaction]:
        """One transaction: committed at the end, or rolled back and nothing has happened."""
        with self._lock, _refusing():
            transaction = Transaction(self._writer)
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield transaction
                self._writer.execute("COMMIT")
                self._sessions += transaction.grown_sessions
                self._bytes += transaction.grown_bytes
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = self._readers.get()
        try:
            with _refusing():
                yield connection
        finally:
            self._readers.put(connection)

    def _even_if_full(self, work: Callable[[Transaction], Result]) -> Result:
        """Run a transaction that frees more than it takes: it may use the reserve."""
        try:
            with self._writing() as transaction:
                return work(transaction)
        except Unavailable:
            with self._lock, _refusing():
                if not self._reserve.exists():
                    raise
                self._reserve.unlink()
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        with self._writing() as transaction:
            return work(transaction)

    def _keep_reserve(self) -> None:
        """Make the reserve, if it is missing and the disk has room for it."""
        if self._reserve.exists():
            return
        partial = self._reserve.with_suffix(".partial")
        try:
            partial.write_bytes(bytes(RESERVE_BYTES))
            partial.replace(self._reserve)
        except OSError:
            partial.unlink(missing_ok=True)

    def _delete_where(self, condition: str, value: object) -> list[str]:
        def delete(transaction: Transaction) -> list[tuple[str, int]]:
            connection = transaction.connection
            rows = connection.execute(
                f"SELECT id, bytes FROM sessions WHERE {condition}",  # noqa: S608
                (value,),
            ).fetchall()
            ids = [(session_id,) for session_id, _ in rows]
            connection.executemany("DELETE FROM sessions WHERE id = ?", ids)
            connection.executemany("UPDATE answers SET content = NULL WHERE session_id = ?", ids)
            transaction.grown_sessions = -len(rows)
            transaction.grown_bytes = -sum(size for _, size in rows)
            return rows

        rows = self._even_if_full(delete)
        self._freed |= bool(rows)
        return [session_id for session_id, _ in rows]

    def _check_tenant(self, connection: sqlite3.Connection, tenant: str) -> None:
        if self._bounds.max_sessions is None:
            return
        query = "SELECT count(*) FROM sessions WHERE tenant = ?"
        (own,) = connection.execute(query, (tenant,)).fetchone()
        self._bounds.check_tenant(own)

    def _check_room(self, growth_bytes: int) -> None:
        self._bounds.check_room(self._sessions, self._bytes, growth_bytes)

    def _keep_answer(self, connection: sqlite3.Connection, answer: KeptAnswer | None) -> None:
        if answer is None:
            return
        key = answer.key
        connection.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(key.tenant, key.route, key.key, answer.digest),
                *(answer.session_id, answer.status, answer.content, answer.created_at),
            ),
        )
        connection.execute(
            "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE tenant = ? "
            "ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
            (key.tenant, self._bounds.max_answers),
        )


def _claim(folder: Path) -> sqlite3.Connection:
    """Lock a file beside the database for as long as this process lives.

    The lock is the operating system's, so it ends with the process however that ends.
    """
    owner = sqlite3.connect(
        folder / OWNER, isolation_level=None, check_same_thread=False, timeout=0
    )
    try:
        owner.execute("PRAGMA locking_mode = EXCLUSIVE")
        owner.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as taken:
        owner.close()
        raise BadSetting(
            f"session folder {folder}: another process keeps its sessions there ({taken}); choose "
            "another INKLING_SESSION_FOLDER, or INKLING_SESSION_STORE=memory"
        ) from None
    return owner


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turn failures of a disk that is full or away, and of a damaged file, into Unavailable."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as failed:
        raise Unavailable(
            f"the session store cannot be used now: {failed}", STORE_RETRY_SECONDS
        ) from failed

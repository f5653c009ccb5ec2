"""A store in an SQLite file on a local disk, owned by one process: it survives that process."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from .database import BATCH_BYTES, Database
from .faults import Damaged
from .integrity import checksum, is_intact
from .session import IdempotencyKey, KeptAnswer
from .store import COLUMNS, Bounds, Record

FACTS = ", ".join((*COLUMNS, "facts"))
BATCH_ROWS = 256
ROW_BYTES = 2**14
"""About what is written for a row beside its contents: a page of each tree that it is in."""
Item = TypeVar("Item")
Row = tuple[str | float, ...]


class SqliteStore:
    """A bounded store: a new session that does not fit is refused, live ones stay."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        """Open or make the database in ``folder``, and claim it.

        Raises BadSetting when the folder cannot be used, another process owns it, or the file is
        not a session database of a version that is known.
        """
        self._bounds = bounds
        self._database = Database(folder)
        self._adding, self._totals = threading.Lock(), threading.Lock()
        self._count()

    def insert(self, record: Record, answer: KeptAnswer | None) -> None:
        """Keep a new session. Raises Unavailable when bound or disk leave no room for it."""
        with self._adding:
            self._insert(record, answer)
            self._grow(1, record.n_bytes())

    def replace(self, record: Record, answer: KeptAnswer | None) -> bool:
        """Replace the version before this one; False where another version or none is stored."""
        query = "SELECT bytes FROM sessions WHERE id = ? AND version = ?"
        with self._database.reading() as connection:
            old = connection.execute(query, (record.id, record.version - 1)).fetchone()
        if old is None:
            return False
        with self._adding:
            replaced = self._replace(record, old[0], answer)
            if replaced:
                self._grow(0, record.n_bytes() - old[0])
                self._database.note_freed()
            return replaced

    def find(self, session_id: str) -> Record | None:
        """A session without its support set."""
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {FACTS}, weights, facts_checksum, weights_checksum "  # noqa: S608
                "FROM sessions JOIN tensors ON session_id = id WHERE id = ?",
                (session_id,),
            ).fetchone()
        if row is None:
            return None
        *columns, facts_sum, weights_sum = row
        record = Record(*columns)
        self._check_intact(record.facts, facts_sum)
        self._check_intact(record.weights, weights_sum)
        return record

    def find_support(self, session_id: str, version: int) -> bytes | None:
        """The support set of one version of a session, if that is stored and has one."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT support, support_checksum FROM sessions JOIN tensors ON session_id = id "
                "WHERE id = ? AND version = ?",
                (session_id, version),
            ).fetchone()
        if row is None:
            return None
        support: bytes | None = row[0]
        self._check_intact(support, row[1])
        return support

    def page(
        self, tenant: str, now: float, limit: int, after: tuple[float, str] | None
    ) -> Sequence[Record]:
        """Live sessions of a tenant by creation and id, downwards from ``after``."""
        created_at, session_id = (float("inf"), "") if after is None else after
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {FACTS}, facts_checksum FROM sessions WHERE tenant = ? "  # noqa: S608
                "AND (created_at, id) < (?, ?) AND expires_at > ? "
                "ORDER BY created_at DESC, id DESC LIMIT ?",
                (tenant, created_at, session_id, now, limit),
            ).fetchall()
        records = [Record(*columns) for *columns, _ in rows]
        for record, row in zip(records, rows, strict=True):
            self._check_intact(record.facts, row[-1])
        return records

    def delete(self, session_id: str) -> bool:
        """Delete a session and the content of its answers; False where it is not stored."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT bytes FROM sessions WHERE id = ?", (session_id,)
            ).fetchone()
        return row is not None and bool(self._delete([(session_id, row[0])]))

    def delete_ended(self, now: float) -> Sequence[str]:
        """Delete the sessions that have ended by ``now``, and return their ids."""
        with self._database.reading() as connection:
            ended = connection.execute(
                "SELECT id, bytes FROM sessions WHERE expires_at <= ?", (now,)
            ).fetchall()
        batches = _batches(ended, [n_bytes for _, n_bytes in ended])
        return [each for batch in batches for each in self._delete(batch, now)]

    def move_ends(self, ends: Mapping[str, float]) -> None:
        """Move the ends of sessions to later moments."""
        update = "UPDATE sessions SET expires_at = max(expires_at, ?) WHERE id = ?"
        self._update(update, [(expires_at, each) for each, expires_at in ends.items()])

    def resume(self, began: float, now: float, oldest_answer: float) -> None:
        """Take up what an earlier process left."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM sessions").fetchall()  # noqa: S608
        stored = [Record(*(*row, b"")) for row in rows]
        changed = [
            (after.created_at, after.expires_at, after.ends_at, after.id)
            for before, after in ((each, each.resumed(began, now)) for each in stored)
            if before != after
        ]
        self._update(
            "UPDATE sessions SET created_at = ?, expires_at = ?, ends_at = ? WHERE id = ?", changed
        )
        with self._database.reading() as connection:
            query = "SELECT rowid FROM answers WHERE created_at > ? OR created_at < ?"
            answers = connection.execute(query, (now, oldest_answer)).fetchall()
        self._update(
            "UPDATE answers SET created_at = ? WHERE rowid = ?",
            [(began, rowid) for (rowid,) in answers],
        )

    def find_answer(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer that a keyed call got, if it is still kept."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT digest, session_id, status, content, created_at FROM answers "
                "WHERE tenant = ? AND route = ? AND key = ?",
                (key.tenant, key.route, key.key),
            ).fetchone()
        return row and KeptAnswer(key, *row)

    def delete_answers(self, before: float) -> None:
        """Delete the answers given before a moment."""
        with self._database.reading() as connection:
            query = "SELECT rowid FROM answers WHERE created_at < ?"
            old = connection.execute(query, (before,)).fetchall()
        if old:
            self._update("DELETE FROM answers WHERE rowid = ?", old)
            self._database.note_freed()

    def mend(self) -> bool:
        """Write the database anew where it was removed or damaged."""
        mended = self._database.mend(self._sessions)
        if mended:
            self._count()
        return mended

    def usage(self) -> tuple[int, int]:
        """The number of sessions, and the bytes that they take."""
        with self._totals:
            return self._sessions, self._bytes

    def reclaim(self) -> None:
        """Give the pages of what was deleted, those of the log too, back to the disk."""
        self._database.reclaim()

    def check(self) -> None:
        """Read from the file, and look whether it is in its place. Raises Unavailable."""
        self._database.check()

    def close(self) -> None:
        """Close the file, after which another process may own it."""
        self._database.close()

    def _insert(self, record: Record, answer: KeptAnswer | None) -> None:
        with self._database.adding(_written_bytes(record, answer)) as connection:
            self._check_tenant(connection, record.tenant)
            self._check_room(record.n_bytes())
            connection.execute(
                f"INSERT INTO sessions ({FACTS}, bytes, facts_checksum) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(getattr(record, name) for name in COLUMNS),
                    *(record.facts, record.n_bytes(), checksum(record.facts)),
                ),
            )
            connection.execute(
                "INSERT INTO tensors (weights, support, weights_checksum, support_checksum, "
                "session_id) VALUES (?, ?, ?, ?, ?)",
                (*_tensors(record), record.id),
            )
            _keep_answer(connection, answer, self._bounds.max_answers)

    def _replace(self, record: Record, old_bytes: int, answer: KeptAnswer | None) -> bool:
        with self._database.adding(_written_bytes(record, answer) + old_bytes) as connection:
            self._check_room(record.n_bytes() - old_bytes)
            updated = connection.execute(
                "UPDATE sessions SET version = ?, expires_at = ?, facts = ?, facts_checksum = ?, "
                "bytes = ? WHERE id = ? AND version = ?",
                (
                    *(record.version, record.expires_at, record.facts, checksum(record.facts)),
                    *(record.n_bytes(), record.id, record.version - 1),
                ),
            )
            if updated.rowcount == 0:
                return False
            connection.execute(
                "UPDATE tensors SET weights = ?, support = ?, weights_checksum = ?, "
                "support_checksum = ? WHERE session_id = ?",
                (*_tensors(record), record.id),
            )
            _keep_answer(connection, answer, self._bounds.max_answers)
        return True

    def _count(self) -> None:
        with self._database.reading() as connection:
            total = "SELECT count(*), coalesce(sum(bytes), 0) FROM sessions"
            counted = connection.execute(total).fetchone()
        with self._totals:
            self._sessions, self._bytes = counted

    def _grow(self, sessions: int, n_bytes: int) -> None:
        with self._totals:
            self._sessions += sessions
            self._bytes += n_bytes

    def _delete(
        self, sessions: Sequence[tuple[str, int]], ended_by: float = math.inf
    ) -> Sequence[str]:
        """Delete, in one transaction, those of some sessions, given with their bytes, that ended.

        Gives the ids of those that were deleted.
        """

        def delete(connection: sqlite3.Connection) -> dict[str, int]:
            deleted = {}
            for session_id, _ in sessions:
                query = "SELECT bytes FROM sessions WHERE id = ? AND expires_at <= ?"
                row = connection.execute(query, (session_id, ended_by)).fetchone()
                if row is not None:
                    deleted[session_id] = row[0]
            ids = [(session_id,) for session_id in deleted]
            connection.executemany("DELETE FROM sessions WHERE id = ?", ids)
            connection.executemany("UPDATE answers SET content = NULL WHERE session_id = ?", ids)
            return deleted

        n_bytes = sum(size + ROW_BYTES for _, size in sessions)
        deleted = self._database.freeing(n_bytes, delete)
        if deleted:
            self._grow(-len(deleted), -sum(deleted.values()))
            self._database.note_freed()
        return list(deleted)

    def _update(self, statement: str, rows: Sequence[Row]) -> None:
        """Change rows that stay about as large as they are, or go."""
        for batch in _batches(rows, [0] * len(rows)):

            def change(connection: sqlite3.Connection, batch: Sequence[Row] = batch) -> None:
                connection.executemany(statement, batch)

            self._database.freeing(len(batch) * ROW_BYTES, change)

    def _check_tenant(self, connection: sqlite3.Connection, tenant: str) -> None:
        if self._bounds.max_sessions is None:
            return
        query = "SELECT count(*) FROM sessions WHERE tenant = ?"
        (own,) = connection.execute(query, (tenant,)).fetchone()
        self._bounds.check_tenant(own)

    def _check_room(self, growth_bytes: int) -> None:
        self._bounds.check_room(*self.usage(), growth_bytes)

    def _check_intact(self, content: bytes | None, stored: int | None) -> None:
        if not is_intact(content, stored):
            self._database.suspect()
            raise Damaged("its file is damaged")


def _written_bytes(record: Record, answer: KeptAnswer | None) -> int:
    return record.n_bytes() + ROW_BYTES + (0 if answer is None else len(answer.content or b""))


def _tensors(record: Record) -> tuple[object, ...]:
    return (
        *(record.weights, record.support),
        *(checksum(record.weights), checksum(record.support)),
    )


def _keep_answer(
    connection: sqlite3.Connection, answer: KeptAnswer | None, max_answers: int
) -> None:
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
        (key.tenant, max_answers),
    )


def _batches(items: Sequence[Item], sizes: Sequence[int]) -> Iterator[Sequence[Item]]:
    """Items in rows of some bytes and numbers at most; a larger item is alone."""
    start, taken = 0, 0
    for position, size in enumerate(sizes):
        full = taken + size > BATCH_BYTES or position - start == BATCH_ROWS
        if full and position > start:
            yield items[start:position]
            start, taken = position, 0
        taken += size
    if start < len(items):
        yield items[start:]

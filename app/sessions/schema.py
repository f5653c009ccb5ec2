"""The tables of the session database, and the steps between their versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ..errors import BadSetting

APPLICATION_ID = 0x1_4B_4C_4E
"""Marks the file as Inkling's own (in SQLite's header)."""

FIRST = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    ttl_seconds REAL NOT NULL,
    ends_at REAL NOT NULL,
    bytes INTEGER NOT NULL,
    facts BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_age ON sessions (tenant, created_at, id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE tensors (
    session_id TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    weights BLOB NOT NULL,
    support BLOB
);

CREATE TABLE answers (
    tenant TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    session_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    content BLOB,
    created_at REAL NOT NULL,
    PRIMARY KEY (tenant, route, key)
);
CREATE INDEX answers_by_age ON answers (tenant, created_at);
CREATE INDEX answers_by_session ON answers (session_id);
"""
"""Tensors have a table of their own: moving an end writes no blob, and a list reads none."""

CHECKSUMS = """
ALTER TABLE sessions ADD COLUMN facts_checksum INTEGER;
ALTER TABLE tensors ADD COLUMN weights_checksum INTEGER;
ALTER TABLE tensors ADD COLUMN support_checksum INTEGER;
"""
"""The database checks its own structure, and not what it holds."""

MIGRATIONS = (FIRST, CHECKSUMS)
"""Script ``i`` leads from version ``i`` to the next. Scripts are added, and never changed."""


def migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS
) -> None:
    """Bring a database to the newest version, each step in one transaction.

    Raises BadSetting as `check_version` does.
    """
    version = check_version(connection, path, migrations)
    for next_version, script in enumerate(migrations[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {APPLICATION_ID}; "
            f"PRAGMA user_version = {next_version}; COMMIT"
        )


def check_version(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS
) -> int:
    """The version of a database; 0 where it is empty. Nothing is written.

    Raises BadSetting for another application's database and for one of a newer version.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != APPLICATION_ID and (tables or application_id):
        raise BadSetting(f"{path}: expected a session database of Inkling, got another one")
    if version > len(migrations):
        raise BadSetting(
            f"{path}: expected a session database of version {len(migrations)} or less, got "
            f"{version}: a newer Inkling has written it"
        )
    return int(version)

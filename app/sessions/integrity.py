"""Whether a session database holds what was written to it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import zlib
from collections.abc import Iterator

from .faults import is_damage

_STEPS_BETWEEN_LOOKS = 10_000


def checksum(content: bytes | None) -> int | None:
    """What is stored beside content, so that a change of it is noticed."""
    return None if content is None else zlib.crc32(content)


def is_intact(content: bytes | None, stored: int | None) -> bool:
    """Whether content is what was stored; what older versions stored without a sum counts as it."""
    return stored is None or checksum(content) == stored


def is_damaged(connection: sqlite3.Connection, seconds: float, *, contents: bool) -> bool:
    """Look through a database, its structure first, until something is wrong or the time is over.

    ``contents`` looks at what sessions hold too. Raises sqlite3.DatabaseError where the database
    cannot be read at all.
    """
    try:
        with _limited(connection, seconds):
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return True
            if not contents:
                return False
            rows = connection.execute(
                "SELECT facts, facts_checksum, weights, weights_checksum, support, "
                "support_checksum FROM sessions JOIN tensors ON session_id = id"
            )
            return not all(
                is_intact(content, stored)
                for row in rows
                for content, stored in (row[0:2], row[2:4], row[4:6])
            )
    except sqlite3.DatabaseError as failed:
        if failed.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return False
        if is_damage(failed):
            return True
        raise


@contextlib.contextmanager
def _limited(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Interrupt what a connection does when a time is over."""
    until = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)

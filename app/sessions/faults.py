"""What failures of SQLite mean, told in words that name none of its internals."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator

from ..errors import Unavailable
from .store import STORE_RETRY_SECONDS

_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written, or is full",
    sqlite3.SQLITE_CANTOPEN: "its files cannot be opened",
    sqlite3.SQLITE_READONLY: "its files cannot be written",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
    sqlite3.SQLITE_NOTADB: "its file is damaged",
    sqlite3.SQLITE_BUSY: "another process uses its file",
}
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class StoreAway(Unavailable):
    """A store that cannot be used now."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the session store cannot be used now: {why}", STORE_RETRY_SECONDS)


class NoRoom(StoreAway):
    """A store whose disk takes no more."""


class Damaged(StoreAway):
    """A store whose file does not hold what was written to it."""


def reason(failure: sqlite3.Error) -> str:
    """Why a database cannot be used."""
    return _REASONS.get(_kind(failure), "its file does not hold what was expected")


def is_damage(failure: sqlite3.Error) -> bool:
    """Whether a file is damaged, and not just away or full."""
    return _kind(failure) in _DAMAGE


@contextlib.contextmanager
def refusing(when_damaged: Callable[[], None]) -> Iterator[None]:
    """Turn failures of a disk that is full or away, and of a damaged file, into StoreAway."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as failed:
        if is_damage(failed):
            when_damaged()
            raise Damaged(reason(failed)) from failed
        if _kind(failed) in _NO_ROOM:
            raise NoRoom(reason(failed)) from failed
        raise StoreAway(reason(failed)) from failed


def _kind(failure: sqlite3.Error) -> int:
    """The primary code: what is above its eight bits tells details."""
    return int(getattr(failure, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF

"""The file of a session store: its transactions, its room on the disk, and its faults."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ..errors import BadSetting
from .connections import Connections
from .faults import NoRoom, StoreAway, reason, refusing
from .integrity import is_damaged
from .place import Fault
from .rescue import install, rescue
from .reserve import Reserve

RESERVE, REWRITTEN = "sessions.reserve", "sessions.rewritten"
LONG_LOG_BYTES = 2**20
"""Size from which on a sweep carries the write-ahead log over into the database."""
BATCH_BYTES = 2**20
"""Work that can be divided is done in transactions that write about so much."""
VACUUM_PAGES = 128
VACUUM_SECONDS = 0.5
"""How long a sweep gives pages back to the disk at most; the next one goes on."""
CHECK_SECONDS = 5.0
"""How long a file is looked through for damage."""
LOSS_TOLD_SECONDS = 30.0
"""How long the store counts as away after a loss, so that whoever watches it hears of it."""
Result = TypeVar("Result")

log = logging.getLogger("inkling")


class Database:
    """Transactions that are whole and durable, or refused.

    **Room.** What is committed is in the log, and has to be carried over into the database before
    the log can be emptied; on a full disk neither can grow. A reserve beside the database is
    therefore at least as large as what the log holds and what deleting the largest session writes
    together. It is given up when something is to be deleted and the disk is full, and made anew
    afterwards. Nothing new is taken on while it cannot be had.

    **Faults.** Before and after anything new is committed the files are compared with those that
    were opened. Where the database was removed, or is damaged, `mend` writes all that can be read
    of it into a new one.
    """

    def __init__(self, folder: Path) -> None:
        """Open or make the database in ``folder``, and claim it.

        Raises BadSetting when the folder cannot be used, another process owns it, or the file is
        not a session database of a version that is known, or is damaged beyond reading.
        """
        self._folder, self._connections = folder, Connections(folder)
        self._lock = threading.RLock()
        self._suspect = self._mending = False
        self._lost, self._lost_at = 0, 0.0
        self._unsaved_bytes, self._largest_bytes = 0, BATCH_BYTES
        self._freed, self._n_saving = True, 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._reserve = Reserve(folder / RESERVE)
            self._open_with_room()
            with refusing(self.suspect):
                if is_damaged(self._connections.writer, CHECK_SECONDS, contents=False):
                    self._write_anew(None)
        except OSError as refused:
            self.close()
            raise BadSetting(f"session folder {folder}: {refused.strerror}") from None
        except (sqlite3.DatabaseError, StoreAway) as failed:
            self.close()
            why = failed.reason if isinstance(failed, StoreAway) else reason(failed)
            raise BadSetting(
                f"{self._connections.path}: expected a session database that can be used, but "
                f"{why}; mend that, or move the file away to start without its sessions"
            ) from None

    @contextlib.contextmanager
    def adding(self, n_bytes: int) -> Iterator[sqlite3.Connection]:
        """A transaction that writes about so many bytes of something new.

        Raises StoreAway, also where the files changed while it was committed: then it may or may
        not have happened.
        """
        if self._mending:
            raise StoreAway("its file is being written anew")
        with self._lock:
            self._check_files()
            self._check_room(n_bytes)
            with self._transaction(n_bytes) as connection:
                yield connection
            self._largest_bytes = max(self._largest_bytes, n_bytes)
            self._check_files()

    def freeing(self, n_bytes: int, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do in a transaction what frees more than the ``n_bytes`` that it writes about.

        On a full disk it uses the reserve. Raises StoreAway.
        """

        def attempt() -> Result:
            self._save_before(n_bytes)
            with self._transaction(n_bytes) as connection:
                return work(connection)

        return self._even_if_full(attempt)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that reads. Raises StoreAway."""
        with self._connections.reading(self.suspect) as connection:
            yield connection

    def suspect(self) -> None:
        """Refuse what is new until `mend` has looked through the file."""
        self._suspect = True

    def note_freed(self) -> None:
        """Have the next `reclaim` give pages back to the disk."""
        self._freed = True

    def check(self) -> None:
        """Read from the file, and look whether it is in its place. Raises StoreAway."""
        self._check_files()
        if self._lost and time.monotonic() < self._lost_at + LOSS_TOLD_SECONDS:
            raise StoreAway(f"its file was damaged, and {self._lost:,} sessions in it are lost")
        with self.reading() as connection:
            connection.execute("SELECT 1 FROM sessions LIMIT 1").fetchone()

    def mend(self, expected: int) -> bool:
        """Write a database anew that was removed or damaged, with all that can be read of it.

        ``expected`` is the number of sessions that it should have. False where nothing had to be
        done. Raises StoreAway where it cannot be done now.
        """
        if not self._connections.are_open:
            with self._lock, _telling_why_not(), refusing(self.suspect):
                self._open()
            return True
        place = self._connections.place
        fault = place.fault()
        if fault in (Fault.GONE, Fault.LOG_GONE):
            log.warning("%s: %s", self._connections.path, fault.value)
            self._write_anew(expected)
            return True
        with self._lock:
            self._notice_others()
        if fault is not None or not self._suspect:
            return False
        with (
            refusing(self.suspect),
            contextlib.closing(self._connections.connect()) as connection,
        ):
            damaged = is_damaged(connection, CHECK_SECONDS, contents=True)
        if damaged:
            self._write_anew(expected)
            return True
        with self._lock:
            place.note_writing()
            self._suspect = False
        return False

    def reclaim(self) -> None:
        """Give the pages of what was deleted, those of the log too, back to the disk."""
        if self._log_is_long():
            # Beside the writer, which the rest of the work then blocks for a moment only.
            with (
                contextlib.suppress(NoRoom),
                self._noting_writing(),
                self.reading() as connection,
            ):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if self._freed:
            self._freed = not self._vacuum()
            self._freed |= not self._even_if_full(lambda: self._save("TRUNCATE"))
        elif self._log_is_long():
            self._even_if_full(lambda: self._save("PASSIVE"))
        with self._lock:
            if not self._reserve.keep():
                raise NoRoom("the disk is full, and leaves no room for deleting")

    def close(self) -> None:
        """Close the file, after which another process may own it."""
        with self._lock:
            self._connections.close()

    def _open_with_room(self) -> None:
        """Open the database. On a full disk the room for that comes out of the reserve."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._open()
        if not self._connections.are_open:
            self._reserve.give_up(0)
            self._open()
        self._reserve.keep()

    def _open(self) -> None:
        self._connections.open()
        largest = "SELECT coalesce(max(bytes), 0) FROM sessions"
        (found,) = self._connections.writer.execute(largest).fetchone()
        self._largest_bytes = max(found, BATCH_BYTES)
        self._unsaved_bytes = self._connections.log.stat().st_size

    @contextlib.contextmanager
    def _transaction(self, n_bytes: int) -> Iterator[sqlite3.Connection]:
        """Committed at the end, or rolled back and nothing has happened."""
        with refusing(self.suspect):
            writer = self._connections.writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            finally:
                self._unsaved_bytes += _log_bytes(n_bytes)
                if writer.in_transaction:
                    writer.execute("ROLLBACK")

    def _even_if_full(self, action: Callable[[], Result]) -> Result:
        """Do something under the lock; once more, with the reserve given up, on a full disk."""
        with self._lock:
            try:
                return action()
            except NoRoom:
                if not self._reserve.give_up():
                    raise
            try:
                self._save("TRUNCATE")
                result = action()
                self._save("TRUNCATE")
            finally:
                self._reserve.keep()
            return result

    def _save(self, kind: str) -> bool:
        """Carry the log over into the database; False where some of it could not be yet."""
        with self._noting_writing(), refusing(self.suspect):
            busy, frames, saved = self._connections.writer.execute(
                f"PRAGMA wal_checkpoint({kind})"
            ).fetchone()
        whole = not busy and frames == saved
        if whole:
            self._unsaved_bytes = 0
        return whole

    @contextlib.contextmanager
    def _noting_writing(self) -> Iterator[None]:
        """Around what writes to the database itself, where others do not."""
        with self._lock:
            place = self._connections.place
            self._notice_others()
            self._n_saving += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_saving -= 1
                place.note_writing()

    def _notice_others(self) -> None:
        """Suspect a database that somebody else has written to."""
        place = self._connections.place
        if self._n_saving == 0 and place.fault() is None and place.was_written_by_others():
            self._suspect = True

    def _save_before(self, n_bytes: int) -> None:
        """Carry the log over where it would outgrow the reserve."""
        if self._unsaved_bytes and self._needed_bytes(n_bytes) > self._reserve.held_bytes:
            self._save("RESTART")

    def _needed_bytes(self, n_bytes: int) -> int:
        """The room that everything needs to be deleted, once so much more is written."""
        largest = max(n_bytes, self._largest_bytes)
        return self._unsaved_bytes + _log_bytes(n_bytes) + _log_bytes(largest)

    def _check_room(self, n_bytes: int) -> None:
        self._save_before(n_bytes)
        needed = self._needed_bytes(n_bytes)
        if needed > self._reserve.held_bytes and not self._reserve.keep(needed):
            raise NoRoom("the disk is full")
        self._check_free(_log_bytes(n_bytes))

    def _check_free(self, n_bytes: int) -> None:
        with _telling_why_not():
            disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < n_bytes:
            raise NoRoom("the disk is full")

    def _check_files(self) -> None:
        fault = self._connections.place.fault()
        if fault is not None:
            raise StoreAway(fault.value)
        if self._suspect:
            raise StoreAway("its file may be damaged, and is being looked through")

    def _log_is_long(self) -> bool:
        return self._unsaved_bytes > LONG_LOG_BYTES

    def _vacuum(self) -> bool:
        """Give free pages back to the disk; False where the time did not suffice."""
        until = time.monotonic() + VACUUM_SECONDS
        while time.monotonic() < until:
            if not self._even_if_full(self._vacuum_some):
                return True
        return False

    def _vacuum_some(self) -> bool:
        """Free some pages; False where none were left to free."""
        self._save_before(BATCH_BYTES)
        writer = self._connections.writer
        with refusing(self.suspect):
            (free,) = writer.execute("PRAGMA freelist_count").fetchone()
            if free:
                # `execute` would stop after the first page.
                writer.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
                self._unsaved_bytes += _log_bytes(BATCH_BYTES)
        return bool(free)

    def _write_anew(self, expected: int | None) -> None:
        """Put a new database in the place of the open one, with all that can be read of it.

        ``expected`` is the number of sessions in it, None where that is not known.
        """
        path, beside = self._connections.path, (self._connections.log, self._connections.index)
        made = self._folder / REWRITTEN
        self._mending = True
        try:
            with self._lock, _telling_why_not(), refusing(self.suspect):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._check_free(self._connections.place.written_bytes + self._unsaved_bytes)
                seen, copied = rescue(self._connections.writer, made)
                # Whatever fails until here leaves everything as it was.
                install(made, path, beside)
                self._connections.close()
                self._suspect = False
                self._open()
        finally:
            self._mending = False
        lost = max(seen, expected or 0) - copied
        if lost:
            self._lost, self._lost_at = lost, time.monotonic()
        told = log.error if lost else log.warning
        told("%s: written anew with %d sessions; %d are lost", path, copied, lost)


@contextlib.contextmanager
def _telling_why_not() -> Iterator[None]:
    """Turn what keeps a file from being written or opened anew into StoreAway."""
    try:
        yield
    except OSError as refused:
        raise StoreAway(f"its file cannot be written anew: {refused.strerror}") from refused
    except BadSetting as refused:
        raise StoreAway(f"its file cannot be opened anew: {refused}") from refused


def _log_bytes(n_bytes: int) -> int:
    """The most that the log grows by when so much is written: pages, their heads, and the tree."""
    return n_bytes + n_bytes // 50 + 2**16

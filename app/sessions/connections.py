"""The connections of the one process that has a session database open."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import BadSetting
from .faults import StoreAway, refusing
from .place import Place
from .schema import check_version, migrate

DATABASE = "sessions.sqlite"
READERS = 4
READER_SECONDS = 30.0
"""How long a caller waits for a connection that reads."""


class Connections:
    """One connection that writes, and a few that read beside it (write-ahead log)."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.path = folder, folder / DATABASE
        self.log, self.index = (folder / f"{DATABASE}-{end}" for end in ("wal", "shm"))
        self._writer: sqlite3.Connection | None = None
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._place: Place | None = None

    @property
    def writer(self) -> sqlite3.Connection:
        """The connection that writes. Raises StoreAway where none is open."""
        if self._writer is None:
            raise StoreAway("its file could not be opened anew")
        return self._writer

    @property
    def place(self) -> Place:
        """The files that were opened. Raises StoreAway where none are."""
        if self._place is None:
            raise StoreAway("its file could not be opened anew")
        return self._place

    @property
    def are_open(self) -> bool:
        """Whether there are any."""
        return self._writer is not None

    @contextlib.contextmanager
    def reading(self, when_damaged: Callable[[], None]) -> Iterator[sqlite3.Connection]:
        """A connection that reads. Raises StoreAway."""
        try:
            connection = self._readers.get(timeout=READER_SECONDS)
        except queue.Empty:
            raise StoreAway("its file could not be opened anew") from None
        try:
            with refusing(when_damaged):
                yield connection
        finally:
            self._readers.put(connection)

    def open(self) -> None:
        """Open or make the database, and claim it.

        Nothing is written to a database of the newest version. Raises sqlite3.DatabaseError,
        OSError, and BadSetting where another process owns it or it is not a session database of a
        version that is known.
        """
        self.path.touch(mode=0o600)
        with contextlib.ExitStack() as closing:
            writer = closing.enter_context(contextlib.closing(self.connect()))
            if check_version(writer, self.path) == 0:
                # It has to be set before the first table is made, and writes.
                writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = FULL")
            writer.execute("PRAGMA secure_delete = ON")
            # `Database` does it instead: an automatic one can fail a commit that has happened.
            writer.execute("PRAGMA wal_autocheckpoint = 0")
            self._claim(writer)
            migrate(writer, self.path)
            readers = [
                closing.enter_context(contextlib.closing(self.connect())) for _ in range(READERS)
            ]
            self._place = Place(self.path, (self.log, self.index))
            closing.pop_all()
        self._writer = writer
        for reader in readers:
            self._readers.put(reader)

    def connect(self) -> sqlite3.Connection:
        """One more connection, which the caller closes."""
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=30
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -1024")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close all of them, once what is being read has been."""
        if self._writer is None:
            return
        for _ in range(READERS):
            self._readers.get().close()
        self._writer.close()
        self._writer = self._place = None

    def _claim(self, writer: sqlite3.Connection) -> None:
        """Make sure that no other process has the database open.

        Every open connection holds a shared lock on the file itself, the operating system's,
        which ends with the process however that ends. So one that can lock all of it for a moment
        is alone, and no later one can while it is open.
        """
        try:
            writer.execute("PRAGMA busy_timeout = 0")
            # Who locks before the first reading cannot share the log with other connections later.
            writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
            writer.execute("PRAGMA locking_mode = EXCLUSIVE")
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("COMMIT")
            writer.execute("PRAGMA locking_mode = NORMAL")
            # The lock becomes a shared one when something is read.
            writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
            writer.execute("PRAGMA busy_timeout = 30000")
        except sqlite3.OperationalError as taken:
            if taken.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise BadSetting(
                f"session folder {self._folder}: another process keeps its sessions there; choose "
                "another INKLING_SESSION_FOLDER, or INKLING_SESSION_STORE=memory"
            ) from None

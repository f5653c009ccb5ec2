"""Whether the files of an open database are still those that their paths name."""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from pathlib import Path

Identity = tuple[int, int]


class Fault(enum.Enum):
    """What has become of the files of a database while it was open."""

    GONE = "its file was removed or moved away; it is written anew where the disk has room"
    LOG_GONE = "files beside it were removed; it is written anew where the disk has room"
    FOLDER_AWAY = "its folder is gone with its disk; put that back"
    REPLACED = (
        "another file was put in its place; put the first one back, or take the new one away to "
        "go on without it, or start the server anew to go on with it"
    )
    READ_ONLY = "its files were made read-only; make them writable again"


class Place:
    """The files of a database by device and inode, and the last moment this process wrote to it."""

    def __init__(self, path: Path, beside: Sequence[Path]) -> None:
        """Remember the files at ``path`` and ``beside`` it. Raises OSError where one is missing."""
        self._path = path
        self._identity = _identity(path)
        self._beside = {each: _identity(each) for each in beside}
        self._device = path.parent.stat().st_dev
        self.note_writing()

    def fault(self) -> Fault | None:
        """What is wrong with the files, if anything."""
        try:
            found = self._path.stat()
        except OSError:
            return self._missing()
        if (found.st_dev, found.st_ino) != self._identity:
            # Who takes an empty file away takes nothing away.
            return Fault.REPLACED if found.st_size else Fault.GONE
        if found.st_size == 0 < self.written_bytes:
            return Fault.GONE
        if any(_found(path) != identity for path, identity in self._beside.items()):
            return Fault.LOG_GONE
        writable = all(os.access(each, os.W_OK) for each in (self._path, self._path.parent))
        return None if writable else Fault.READ_ONLY

    @property
    def written_bytes(self) -> int:
        """The size of the file when this process wrote to it last."""
        return self._written[1]

    def note_writing(self) -> None:
        """Remember the state of the file, which this process has just written to."""
        self._written = _state(self._path)

    def was_written_by_others(self) -> bool:
        """Whether the file has changed since this process wrote to it."""
        return _state(self._path) != self._written

    def _missing(self) -> Fault:
        nearest = next((each for each in self._path.parents if each.exists()), None)
        if nearest is None or nearest.stat().st_dev != self._device:
            return Fault.FOLDER_AWAY
        return Fault.GONE


def _identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


def _found(path: Path) -> Identity | None:
    try:
        return _identity(path)
    except OSError:
        return None


def _state(path: Path) -> tuple[int, int]:
    """Time of the last change, and size; zeros where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size

"""Room that is kept on the disk for deleting when it is full."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LEAST_BYTES = 24 * 2**20
"""Beyond what a second of new sessions writes, after which a sweep has carried the log over."""
OPENING_BYTES = 2**18
"""What stays when the reserve is given up: a process that starts needs some room to open files."""


class Reserve:
    """A file of zeros. It is cut short when its room is needed, and made whole afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.wanted_bytes = LEAST_BYTES
        self.held_bytes = _size(path)

    def keep(self, wanted_bytes: int = 0) -> bool:
        """Hold at least so many bytes from now on; False where the disk has no room for them."""
        self.wanted_bytes = max(self.wanted_bytes, wanted_bytes)
        self.held_bytes = _size(self._path)
        missing = self.wanted_bytes - self.held_bytes
        if missing <= 0:
            return True
        try:
            self._path.touch(mode=0o600)
            with self._path.open("ab", buffering=0) as file:
                _allocate(file.fileno(), self.held_bytes, missing)
        except OSError:
            with contextlib.suppress(OSError):
                self._cut(self.held_bytes)
        self.held_bytes = _size(self._path)
        return self.held_bytes >= self.wanted_bytes

    def give_up(self, left_bytes: int = OPENING_BYTES) -> bool:
        """Free the room for something else; False where there was none."""
        had = _size(self._path) > left_bytes
        if had:
            self._cut(left_bytes)
        self.held_bytes = _size(self._path)
        return had

    def _cut(self, n_bytes: int) -> None:
        if n_bytes:
            os.truncate(self._path, n_bytes)
        else:
            self._path.unlink(missing_ok=True)


def _allocate(descriptor: int, start: int, n_bytes: int) -> None:
    """Lengthen a file by zeros that have room on the disk. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, n_bytes)
    else:
        os.write(descriptor, bytes(n_bytes))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

"""Where machine code is kept from one process to the next: a folder for each state of the sources.

Below `NUMBA_CACHE_DIR`, or the user's cache. Compiling all kernels takes about a minute and a half.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numba

STATES_KEPT = 3
STATE = re.compile(r"[0-9a-f]{16}")
"""The names that `_state` gives."""
config: Any = numba.config


@functools.cache
def kept_folder() -> Path | None:
    """Where machine code is kept; None where there is no place for it.

    A folder that can only be read, as in the container, is used through a copy.
    """
    folder = _base() / _state()
    try:
        # Written to, not asked: permissions do not tell of file systems that are mounted read-only.
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        os.utime(folder)  # used last, so kept longest
    except OSError:
        return _copy(folder)
    _forget_older(folder)
    return folder


def _forget_older(folder: Path) -> None:
    """Keep the states that were used last, this one among them."""
    # Each state takes megabytes, and every change of a kernel begins a new one.
    used: dict[Path, float] = {}
    for other in folder.parent.iterdir():
        with contextlib.suppress(OSError):  # another process may be at it too
            if STATE.fullmatch(other.name) and other != folder:
                used[other] = other.stat().st_mtime
    for old in sorted(used, key=used.__getitem__, reverse=True)[STATES_KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def _base() -> Path:
    """A folder that nothing else lies in."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        cache = tempfile.gettempdir()
    # Not numba's own folder, so that deleting older states can touch nobody else's.
    return Path(config.CACHE_DIR or cache) / "inkling"


def _state() -> str:
    """A name for the sources as they are: numba looks at the one that a function lies in alone."""
    # A kernel that another module's kernel is compiled into may change without its file changing.
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _copy(folder: Path) -> Path | None:
    try:
        # numba leaves a folder alone that it cannot write to, even to read from it.
        copy = Path(tempfile.mkdtemp(prefix="inkling-"))
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        if folder.is_dir():
            shutil.copytree(folder, copy, dirs_exist_ok=True)
    except OSError:
        return None
    return copy

"""A function of arrays as machine code, which numba makes of plain loops.

For what would take torch many small operations, or large intermediate results: starting an
operation costs more than a small one does, and what leaves the caches is slow to come back. No
turn at the interpreter is held meanwhile.

Compiling all of them takes about half a minute, once: the machine code is kept in a folder of its
own for each state of the sources, below `NUMBA_CACHE_DIR` or the user's cache.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
"""Arrays are C-contiguous: others would be compiled for anew."""
SOURCES = ("checkpoints", "engine", "images", "meta", "networks")
"""Parts of the package that compiled functions lie in and take constants from."""
STATES_KEPT = 3
STATE = re.compile(r"[0-9a-f]{16}")
"""The names that `_state` gives."""
_config: Any = numba.config


def array_of(tensor: torch.Tensor) -> Floats:
    """A tensor on the CPU as compiled functions take it; shares its memory where that can be."""
    return tensor.contiguous().numpy()


def compiled(function: Function) -> Function:
    """Compile at the first call, or take what was compiled before.

    Sums may be reordered, so that they run in the processor's wide registers.
    """
    folder = kept_folder()
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(folder or "")
    try:
        made = numba.njit(
            cache=folder is not None,
            nogil=True,
            error_model="numpy",
            fastmath={"reassoc", "contract"},
        )(function)
    finally:
        _config.CACHE_DIR = before
    return cast("Function", made)


@functools.cache
def kept_folder() -> Path | None:
    """Where machine code is kept; None where there is no place for it.

    A folder that can only be read, as in the container, is used through a copy.
    """
    folder = _base() / _state()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        os.utime(folder)  # used last, so kept longest
    except OSError:
        return _copy(folder)
    _forget_older(folder)
    return folder


def _forget_older(folder: Path) -> None:
    """Keep the states that were used last, this one among them."""
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
    return Path(_config.CACHE_DIR or cache) / "inkling"


def _state() -> str:
    """A name for the sources as they are: numba looks at the one that a function lies in alone."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for part in SOURCES:
        for source in sorted((package / part).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _copy(folder: Path) -> Path | None:
    try:
        copy = Path(tempfile.mkdtemp(prefix="inkling-"))
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        if folder.is_dir():
            shutil.copytree(folder, copy, dirs_exist_ok=True)
    except OSError:
        return None
    return copy

"""A function of arrays as machine code, which numba makes of plain loops.

For what would take torch many small operations, or large intermediate results: starting an
operation costs more than a small one does, and what leaves the caches is slow to come back. No
turn at the interpreter is held meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
"""Arrays are C-contiguous: others would be compiled for anew."""


def compiled(function: Function) -> Function:
    """Compile at the first call, and keep what was compiled where a folder for it can be written.

    Sums may be reordered, so that they run in the processor's wide registers.
    """
    try:
        return _compiled(function, kept=True)
    except RuntimeError:  # neither beside the source nor in the user's folder
        return _compiled(function, kept=False)


def _compiled(function: Function, kept: bool) -> Function:
    compile_ = numba.njit(
        cache=kept, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"}
    )
    return cast("Function", compile_(function))

"""A function of arrays as machine code, which numba makes of plain loops.

For what would take torch many small operations, or large intermediate results: starting an
operation costs more than a small one does, and what leaves the caches is slow to come back. The
GIL is free meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import scipy.linalg  # noqa: F401 - numba's np.dot calls its BLAS, which is to be loaded, so limited
from numpy.typing import NDArray

from .cache import config, kept_folder

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
"""Arrays are C-contiguous: others would be compiled for anew."""


def compiled(function: Function) -> Function:
    """Compile at the first call, or take what was compiled before.

    Sums may be reordered, so that they run in the processor's wide registers.
    """
    # numba reads the setting when a function is decorated, and has no argument for it.
    folder = kept_folder()
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder or "")
    try:
        made = numba.njit(
            cache=folder is not None,
            # Other threads may run Python meanwhile: arrays alone are touched.
            nogil=True,
            # Division by zero gives infinity, as in torch, without a branch that raises.
            error_model="numpy",
            # Not all of fastmath: that would let the compiler suppose that there is no NaN.
            fastmath={"reassoc", "contract"},
        )(function)
    finally:
        config.CACHE_DIR = before
    return cast("Function", made)

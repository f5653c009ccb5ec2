"""Settings of the C library's allocator."""

from __future__ import annotations

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
"""Parameters of mallopt, see its manual page."""
KEPT_BYTES = 128 << 20
MAPPED_FROM_BYTES = 32 << 20
"""The largest bound that glibc takes."""


def keep_freed_memory(threads: int) -> bool:
    """Have freed memory kept for the next call, instead of handed back and cleared anew.

    Tensors of megabytes come and go with every step. Each of ``threads`` that compute keeps its
    own: memory that another core has just written is slow to write. Tells whether this C library
    could be told; others than glibc keep their ways.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return all(
        mallopt(parameter, value) == 1
        for parameter, value in (
            (M_MMAP_THRESHOLD, MAPPED_FROM_BYTES),
            (M_TRIM_THRESHOLD, KEPT_BYTES),
            (M_TOP_PAD, KEPT_BYTES >> 2),
            (M_ARENA_MAX, threads),
        )
    )


def hand_back_freed_memory() -> None:
    """Give what is kept back to the operating system, after work that took much more than usual."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)

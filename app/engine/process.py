"""What a process that computes sets once, for all that it computes."""

from __future__ import annotations

import sys

import torch
from threadpoolctl import threadpool_limits

from .allocator import keep_freed_memory
from .device import use_exact_arithmetic


def prepare_process(threads: int) -> None:
    """Exact arithmetic, ``threads`` that compute each alone, and memory that is kept for them."""
    use_exact_arithmetic()
    sys.setswitchinterval(0.001)
    # Those that compute, those that help, and torch's own.
    keep_freed_memory(3 * threads)
    compute_alone()
    threadpool_limits(1, user_api="blas")


def compute_alone() -> None:
    """Have the calling thread compute alone: several in one operation collapse under contention."""
    torch.set_num_threads(1)
